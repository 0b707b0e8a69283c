// `npm run test:chaos -- --seed 7 --minutes 10`: a fleet of three on both stores, broken by the seed. `--locks`: five that
// compete for locks.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    locks: { type: 'boolean', default: false },
    /** File in which everything that was seen is kept, as JSON. */
    keep: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const seed = values.seed === undefined ? undefined : Number(values.seed)
if (!(minutes > 0) || (seed !== undefined && !Number.isSafeInteger(seed))) {
  console.error(
    'usage: npm run test:chaos -- [--locks] [--seed <integer>] [--minutes <number>] [--keep <file>]',
  )
  process.exit(2)
}
const { status } = spawnSync(
  'npx',
  [
    'vitest',
    'run',
    values.locks ? 'test/chaos/locks.test.ts' : 'test/chaos/full.chaos.ts',
    '--disable-console-intercept',
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      SPILLWAY_SEARCH: values.locks ? 'no' : 'yes',
      CHAOS_MINUTES: String(minutes),
      ...(seed !== undefined && { CHAOS_SEED: String(seed) }),
      ...(values.keep !== undefined && { CHAOS_KEEP: values.keep }),
    },
  },
)
process.exit(status ?? 1)
