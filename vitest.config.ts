import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { SlowFirst } from './test/support/slow-first.js'
import { mutants } from './test/term/sim/mutants.js'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** What searches for trouble as long as it is given: `npm run test:chaos`, `npm run test:term`. */
const searches = process.env.SPILLWAY_SEARCH === 'yes'

export default defineConfig({
  plugins: [mutants()],
  resolve: { alias: { 'spillway/client': at('./client/index.ts'), spillway: at('./src/index.ts') } },
  test: {
    include: [searches ? 'test/**/*.chaos.ts' : 'test/**/*.test.ts'],
    globalSetup: ['test/support/setup.ts'],
    // A machine may be three times slower than another: who is only slow does not fail.
    testTimeout: 90_000,
    hookTimeout: 180_000,
    pool: 'forks',
    // A process of its own for each file would load the same modules a hundred times. What a file leaves behind in its
    // process is a fault: the next one meets it.
    isolate: false,
    // More than the cores that a small machine has: many tests wait for servers and for time.
    maxWorkers: 5,
    sequence: { sequencer: SlowFirst },
  },
})
