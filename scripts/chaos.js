// `npm run test:chaos -- --seed 7 --minutes 10`: a fleet of three on both stores, broken by the seed.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    /** File in which everything that was seen is kept, as JSON. */
    keep: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const seed = values.seed === undefined ? undefined : Number(values.seed)
if (!(minutes > 0) || (seed !== undefined && !Number.isSafeInteger(seed))) {
  console.error('usage: npm run test:chaos -- [--seed <integer>] [--minutes <number>] [--keep <file>]')
  process.exit(2)
}
const { status } = spawnSync(
  'npx',
  ['vitest', 'run', 'test/chaos/full.chaos.ts', '--disable-console-intercept'],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      SPILLWAY_SEARCH: 'yes',
      CHAOS_MINUTES: String(minutes),
      ...(seed !== undefined && { CHAOS_SEED: String(seed) }),
      ...(values.keep !== undefined && { CHAOS_KEEP: values.keep }),
    },
  },
)
process.exit(status ?? 1)
