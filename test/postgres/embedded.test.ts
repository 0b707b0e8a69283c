import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Spillway } from '../../src/index.js'
import { seqs, upTo } from '../events/readers.js'
import { eventually } from '../support/eventually.js'
import { type Child, runChild } from './children.js'

let dataDir: string
const children: Child[] = []

beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'spillway-embedded-'))
})
afterAll(async () => {
  for (const child of children) await child.kill()
  rmSync(dataDir, { recursive: true, force: true })
})

/** Opens the embedded store and publishes to four flows at once until it is killed; a line for each answer. */
const WRITER = `
const { Spillway } = await built('index.js')
say('ready')
for await (const dataDir of lines) {
  const spillway = await Spillway.open({ dataDir }).catch((error) => void say(error.code))
  if (!spillway) continue
  say('open')
  for (const name of ['a', 'b', 'c', 'd']) void (async () => {
    const flow = spillway.tenant('acme').flow(name)
    for (let n = 1; ; n++) say(name + ' ' + (await flow.publish('tick', { n, filler: 'x'.repeat(n % 500) })).id)
  })()
}`

async function writer(): Promise<Child> {
  const child = runChild(WRITER)
  children.push(child)
  await child.line()
  child.say(dataDir)
  return child
}

async function heard(child: Child, line: string): Promise<void> {
  while ((await child.line()) !== line);
}

// In this order, on one folder: to make a database takes seconds.
describe('the embedded store', () => {
  it('opens when its process was killed while it made the database', async () => {
    const child = await writer()
    const marker = join(dataDir, 'postgres', 'PG_VERSION')
    await eventually(() => existsSync(marker), { withinMs: 60_000, everyMs: 1, what: 'the first files' })
    await child.kill()
    const spillway = await Spillway.open({ dataDir })
    expect(await spillway.tenant('acme').flow('first').publish('tick')).toMatchObject({ id: '1-1' })
    await spillway.close()
  }, 90_000)

  it('has every acknowledged event when its process was killed in the middle of writing', async () => {
    const acknowledged = new Map<string, string[]>()
    for (const events of [60, 300]) {
      const child = await writer()
      await heard(child, 'open')
      for (let i = 0; i < events; i++) {
        const [flow = '', id = ''] = (await child.line()).split(' ')
        acknowledged.set(flow, [...(acknowledged.get(flow) ?? []), id])
      }
      await child.kill()
      const spillway = await Spillway.open({ dataDir })
      for (const [name, ids] of acknowledged) {
        const flow = spillway.tenant('acme').flow(name)
        const kept = await flow.history({ last: 1000 })
        expect(seqs(kept)).toEqual(upTo(kept.length))
        const found = new Set(kept.map(({ id }) => id))
        expect(ids.filter((id) => !found.has(id))).toEqual([])
        expect(await flow.publish('after')).toMatchObject({ id: `1-${kept.length + 1}` })
      }
      await spillway.close()
    }
  }, 90_000)

  it('refuses a second Spillway on its folder, and names the holder', async () => {
    const spillway = await Spillway.open({ dataDir })
    await expect(Spillway.open({ dataDir })).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
    await expect(Spillway.open({ dataDir })).rejects.toThrow(`process ${process.pid}`)
    const child = await writer()
    expect(await child.line()).toBe('DATA_DIR_IN_USE')
    await spillway.close()
    const again = await Spillway.open({ dataDir })
    expect(again.mode).toBe('embedded')
    await again.close()
    await again.close()
    await expect(again.tenant('acme').flow('f').publish('tick')).rejects.toMatchObject({ code: 'CLOSED' })
  }, 60_000)
})
