import fs, { rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { afterEach, expect, it } from 'vitest'
import { Spillway } from '../../src/index.js'
import { embeddedFolder } from '../support/embedded.js'

const { fsyncSync } = fs
const dataDir = await embeddedFolder()

afterEach(() => {
  fs.fsyncSync = fsyncSync
  syncBuiltinESMExports()
  rmSync(dataDir, { recursive: true, force: true })
})

it('syncs the embedded log to the disk before a publish is acknowledged', async () => {
  let synced = 0
  fs.fsyncSync = (fd) => {
    synced += 1
    fsyncSync(fd)
  }
  syncBuiltinESMExports()
  const spillway = await Spillway.open({ dataDir })
  const flow = spillway.tenant('acme').flow('abc')
  for (let i = 0; i < 5; i++) {
    const before = synced
    await flow.publish('a', { i })
    expect(synced).toBeGreaterThan(before)
  }
  await spillway.close()
})
