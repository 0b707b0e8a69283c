import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { mutants } from './test/term/sim/mutants.js'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  plugins: [mutants()],
  resolve: { alias: { 'spillway/client': at('./client/index.ts'), spillway: at('./src/index.ts') } },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
})
