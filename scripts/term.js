// `npm run test:term`: the term's real code over simulated time, network and stores. TERM_RUNS says how many.
import { spawnSync } from 'node:child_process'

const { status } = spawnSync('npx', ['vitest', 'run', 'test/term/simulation.chaos.ts'], {
  stdio: 'inherit',
  env: { ...process.env, SPILLWAY_SEARCH: 'yes' },
})
process.exit(status ?? 1)
