import { rm } from 'node:fs/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { makeSample } from '../../examples/discovery/data/make-sample.js'
import { embeddedFolder } from '../support/embedded.js'
import { startLife } from './flows.js'
import { testFile } from './tables.js'

const MIB = 2 ** 20

describe('a large file', () => {
  it('is imported within a small heap: 60,000 rows in 96 MiB', { timeout: 240_000 }, async () => {
    const file = await testFile(makeSample(60_000, 7))
    const dataDir = await embeddedFolder()
    onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
    const life = startLife({ file, dataDir, postgres: 'embedded', flow: 'large' }, [
      '--max-old-space-size=96',
      '--expose-gc',
    ])
    onTestFinished(() => void life.child.kill('SIGKILL'))
    const result = JSON.parse((await life.ended) ?? 'null')
    expect(result).toMatchObject({ flow: 'large' })
    expect(result.rows + result.rejected).toBe(60_000)
    expect(result.assets).toBeGreaterThan(45_000)
    // What the run adds to a process with an open embedded store: heap, buffers and what the store itself grows by.
    expect((result.peak - result.before) / MIB).toBeLessThan(300)
  })
})
