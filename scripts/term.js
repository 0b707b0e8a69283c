// `npm run test:term`: the term's real code over simulated time, network and stores. TERM_RUNS and TERM_SEED say which runs, TERM_WITHOUT_RUNS in how many each guard is taken away; 0 leaves either out.
import { spawnSync } from 'node:child_process'

const { status } = spawnSync('npx', ['vitest', 'run', 'test/term/simulation.chaos.ts'], {
  stdio: 'inherit',
  env: { ...process.env, SPILLWAY_SEARCH: 'yes' },
})
process.exit(status ?? 1)
