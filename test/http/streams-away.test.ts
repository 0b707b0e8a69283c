import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.js'
import { type PostgresServer, startPostgres } from '../support/postgres.js'
import { openStream, type SseReader } from '../support/sse.js'
import { openRig, type Rig } from './rig.js'

let server: PostgresServer
let rig: Rig
let keys = 0

beforeAll(async () => {
  server = await startPostgres()
  rig = await openRig({ postgres: (await server.database()).url }, { heartbeatMs: 100 })
})
afterAll(async () => {
  await rig.close()
  await server.remove()
})

const opened = (reader: SseReader) => reader.lastEventId !== ''
const got = (n: number) => (reader: SseReader) => reader.frames.length >= n

async function publish(flow: string, n: number): Promise<void> {
  // With keys, so that a repeat after a lost answer adds nothing.
  const events = Array.from({ length: n }, () => ({ type: 'step', key: `k${++keys}` }))
  // The pool may still hold connections of the server that is gone.
  await eventually(() => rig.spillway.tenant('acme').flow(flow).publishMany(events), { withinMs: 20_000 })
}

function seqsOf(reader: SseReader, flow: string): number[] {
  return reader.frames
    .filter(({ data }) => data.includes(`"flow":"${flow}",`))
    .map(({ data }) => Number((JSON.parse(data) as { id: string }).id.split('-')[1]))
}

test('streams outlive their store: open ones stay, new ones open at once, all go on', async () => {
  const many = Array.from({ length: 100 }, (_, i) => `many-${i}`)
  for (const flow of ['one', 'late', many[7] as string]) await publish(flow, 3)
  const before = await openStream(rig.url('one', { after: '0' }))
  const several = await openStream(rig.url(many))
  await Promise.all([before.until(got(3)), several.until(opened)])

  await server.stop('immediate')
  const asked = performance.now()
  const late = await openStream(rig.url('late', { after: '0' }))
  const lateMany = await openStream(rig.url(many), { lastEventId: several.lastEventId })
  expect(performance.now() - asked).toBeLessThan(1000)
  const all = [before, several, late, lateMany]
  expect(all.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  // Heartbeats go on while nothing else can.
  await Promise.all(all.map((reader) => reader.until(({ comments }) => comments.length >= 5)))

  await server.start()
  for (const flow of ['one', 'late']) await publish(flow, 2)
  // Enough that the cursors of both must have moved to another base.
  for (let i = 0; i < 100; i += 10) await Promise.all(many.slice(i, i + 10).map((flow) => publish(flow, 20)))
  await Promise.all([
    before.until(got(5)),
    late.until(got(5)),
    several.until(got(2000)),
    lateMany.until(got(2000)),
  ])
  expect(seqsOf(before, 'one')).toEqual([1, 2, 3, 4, 5])
  expect(seqsOf(late, 'late')).toEqual([1, 2, 3, 4, 5])
  for (const reader of [several, lateMany]) {
    for (const [i, flow] of many.entries()) {
      const from = i === 7 ? 4 : 1
      expect(seqsOf(reader, flow)).toEqual(Array.from({ length: 20 }, (_, n) => n + from))
    }
  }
  for (const reader of all) reader.close()
  await eventually(() => rig.streams.size === 0)
})

test('a cursor that runs out of room while the store is away waits, and its stream goes on', async () => {
  const flows = Array.from({ length: 90 }, (_, i) => `room-${i}`)
  const reader = await openStream(rig.url(flows))
  await reader.until(opened)
  // Events far on from the base take most room: one flow after another, until there is none.
  for (const flow of flows.slice(0, 12)) await publish(flow, 200)
  await server.stop('immediate')
  const waiting = Promise.all(flows.slice(12, 40).map((flow) => publish(flow, 200)))
  await server.start()
  await waiting
  await reader.until(got(40 * 200))
  const all = Array.from({ length: 200 }, (_, n) => n + 1)
  for (const flow of flows.slice(0, 40)) expect(seqsOf(reader, flow)).toEqual(all)
  reader.close()
})
