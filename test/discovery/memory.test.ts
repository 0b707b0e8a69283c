import { rm } from 'node:fs/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { makeSample } from '../../examples/discovery/data/make-sample.js'
import { embeddedFolder } from '../support/embedded.js'
import { startLife } from './flows.js'
import { testFile } from './tables.js'

const MIB = 2 ** 20
const ROWS = 30_000

describe('a large file', () => {
  it('is imported without being held: 30,000 rows', { timeout: 240_000 }, async () => {
    const file = await testFile(makeSample(ROWS, 7))
    const dataDir = await embeddedFolder()
    onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
    const life = startLife({ file, dataDir, postgres: 'embedded', flow: 'large' }, ['--expose-gc'])
    onTestFinished(() => void life.child.kill('SIGKILL'))
    const result = JSON.parse((await life.ended) ?? 'null')
    expect(result).toMatchObject({ flow: 'large' })
    expect(result.rows + result.rejected).toBe(ROWS)
    expect(result.assets).toBeGreaterThan(0.75 * ROWS)
    // What is in use at any time beyond what an open store needs: 10 to 12 MiB. The parsed rows alone are 16.
    expect((result.peak - result.before) / MIB).toBeLessThan(18)
  })
})
