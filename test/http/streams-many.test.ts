import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { cursorMark, formatMultiCursor } from '../../src/events/multi-cursor.js'
import { keepingOf } from '../../src/spillway.js'
import { seeded } from '../chaos/random.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { openStream, type SseReader } from '../support/sse.js'
import { openRig, type Rig } from './rig.js'

let database: FreshDatabase
/** Two instances on one database. */
let rigs: readonly [Rig, Rig]

beforeAll(async () => {
  database = await freshDatabase()
  const open = () => openRig({ postgres: database.url }, { streamBufferBytes: 65_536 })
  rigs = [await open(), await open()]
})
afterAll(async () => {
  for (const rig of rigs) await rig.close()
  await database.drop()
})
afterEach(async () => {
  for (const { streams } of rigs)
    await eventually(() => streams.size === 0, { what: 'all streams forgotten' })
})

const names = (prefix: string, n: number) => Array.from({ length: n }, (_, i) => `${prefix}-${i}`)
const opened = (reader: SseReader) => reader.lastEventId !== ''
const got = (n: number) => (reader: SseReader) => reader.frames.length >= n

function publish(rig: Rig, flow: string, n: number, payload: unknown = null) {
  const events = Array.from({ length: n }, () => ({ type: 'step', payload }))
  return rig.spillway.tenant('acme').flow(flow).publishMany(events)
}

/** What arrived, by flow: the seqs in their order. */
function seqs(frames: readonly { data: string }[]): Map<string, number[]> {
  const found = new Map<string, number[]>()
  for (const frame of frames) {
    const { id, flow } = JSON.parse(frame.data) as { id: string; flow: string }
    const seq = Number(id.split('-')[1])
    const list = found.get(flow)
    if (list) list.push(seq)
    else found.set(flow, [seq])
  }
  return found
}

const countTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

describe('a stream of several flows', () => {
  test.each([1, 2, 50, 100])('of %i: history of all, then live, in each flow’s order', async (n) => {
    const flows = names(`n${n}`, n)
    await Promise.all(flows.map((flow) => publish(rigs[0], flow, 5)))
    const reader = await openStream(rigs[0].url(flows, { after: '0' }))
    await reader.until(got(5 * n))
    await Promise.all(flows.map((flow, i) => publish(rigs[i % 2 ? 1 : 0], flow, 3)))
    await reader.until(got(8 * n))
    for (const flow of flows) expect(seqs(reader.frames).get(flow)).toEqual(countTo(8))
    for (const id of reader.ids()) expect(id).toMatch(/^[A-Za-z0-9_-]{1,128}$/)
    reader.close()
  })

  test('resumes on another instance, named in another order and twice, behind every single event', async () => {
    const flows = names('cut', 3)
    const reader = await openStream(rigs[0].url(flows))
    await reader.until(opened)
    const start = reader.lastEventId
    for (let i = 0; i < 4; i++) for (const flow of flows) await publish(rigs[0], flow, 1)
    await reader.until(got(12))
    const events = reader.frames.map(({ data }) => JSON.parse(data) as { flow: string; id: string })
    for (const [i, cursor] of [start, ...reader.ids()].entries()) {
      const again = await openStream(rigs[1].url([...flows, ...flows].reverse()), { lastEventId: cursor })
      await again.until(got(events.length - i))
      expect(seqs(again.frames)).toEqual(seqs(reader.frames.slice(i)))
      again.close()
    }
    reader.close()
  })

  test('is told that a cursor of other flows is nobody’s', async () => {
    const flows = names('foreign', 2)
    for (const flow of flows) await publish(rigs[0], flow, 2)
    const other = await openStream(rigs[0].url(names('foreign', 3)))
    await other.until(opened)
    for (const cursor of [other.lastEventId, '1-1', 'x', other.lastEventId.slice(0, -2)]) {
      const reader = await openStream(rigs[0].url(flows), { lastEventId: cursor })
      await reader.until(got(6))
      const gaps = reader.frames.filter(({ event }) => event === 'gap').map(({ data }) => JSON.parse(data))
      expect(gaps.map(({ flow, reason }) => [flow, reason]).sort()).toEqual(flows.map((f) => [f, 'unknown']))
      const rest = seqs(reader.frames.filter(({ event }) => event !== 'gap'))
      for (const flow of flows) expect(rest.get(flow)).toEqual([1, 2])
      expect(reader.lastEventId.length).toBeLessThanOrEqual(128)
      const again = await openStream(rigs[1].url(flows), { lastEventId: reader.lastEventId })
      await again.until(opened)
      expect(again.lastEventId).toBe(reader.lastEventId)
      again.close()
      reader.close()
    }
    other.close()
  })

  test('ahead of its logs is told so in each, and its next cursors still work', async () => {
    // As after a restore of an older backup: the places go back, behind the stored base that the cursor names.
    const flows = names('ahead', 60).sort()
    await Promise.all(flows.map((flow) => publish(rigs[0], flow, 2)))
    const places = flows.map(() => ({ term: 1, seq: 1000 }))
    const base = await keepingOf(rigs[0].spillway).bases.store('acme', places)
    const cursor = formatMultiCursor(cursorMark('acme', flows), places, base) ?? ''
    const reader = await openStream(rigs[1].url(flows), { lastEventId: cursor })
    await reader.until(got(60))
    expect(reader.frames.every(({ event }) => event === 'gap')).toBe(true)
    reader.close()
    await Promise.all(flows.map((flow) => publish(rigs[0], flow, 1)))
    const again = await openStream(rigs[0].url(flows), { lastEventId: reader.lastEventId })
    await again.until(got(60))
    for (const flow of flows) expect(seqs(again.frames).get(flow)).toEqual([3])
    again.close()
  })

  test('gives every event of every flow exactly once, whichever instance, wherever it is cut', async () => {
    const random = seeded(20_260_118)
    const flows = names('nasty', 100)
    const each = 80
    const writers = flows.map(async (flow, i) => {
      for (let sent = 0; sent < each; ) {
        const n = Math.min(each - sent, 1 + Math.floor(random() * 12))
        await publish(rigs[i % 2 ? 1 : 0], flow, n, 'x'.repeat(Math.floor(random() * 400)))
        sent += n
      }
    })
    const readers = [0, 1, 2, 3].map(async (_, i) => {
      const mine = i === 3 ? flows.slice(0, 2) : flows
      const total = mine.length * each
      const frames: { id: string | undefined; data: string }[] = []
      let cursor = '0'
      let rounds = 0
      while (frames.length < total) {
        rounds += 1
        const rig = rigs[random() < 0.5 ? 0 : 1]
        const reader = await openStream(rig.url(mine), { lastEventId: cursor })
        const cut = 1 + Math.floor(random() * (random() < 0.3 ? 3000 : 400))
        await reader.until((r) => r.frames.length >= cut || frames.length + r.frames.length >= total)
        reader.close()
        // What the client has read further than the cut does not count: it resumes from where it says.
        const kept = reader.frames.slice(0, cut)
        frames.push(...kept)
        cursor = kept.at(-1)?.id ?? cursor
        expect(cursor.length).toBeLessThanOrEqual(128)
      }
      const found = seqs(frames)
      for (const flow of mine) expect(found.get(flow)).toEqual(countTo(each))
      return rounds
    })
    await Promise.all(writers)
    const rounds = await Promise.all(readers)
    // No cut is longer than 3,000 of the 8,000 events.
    expect(Math.min(...rounds.slice(0, 3))).toBeGreaterThanOrEqual(3)
  })

  test('stores few bases: who opens where others did, or only reconnects, stores none', async () => {
    const flows = names('idle', 100)
    const count = async () => {
      const [row] = await rigs[0].spillway.database.scoped(['acme'], (tx) =>
        tx.query<{ n: number }>('SELECT count(*)::int AS n FROM spillway.stream_cursors'),
      )
      return row?.n ?? 0
    }
    let reader = await openStream(rigs[0].url(flows))
    await reader.until(opened)
    reader.close()
    const before = await count()
    for (let i = 0; i < 20; i++) {
      reader = await openStream(rigs[i % 2 ? 1 : 0].url(flows), { lastEventId: reader.lastEventId })
      await publish(rigs[0], flows[i] as string, 1)
      await reader.until(got(1))
      reader.close()
    }
    expect(await count()).toBe(before)

    const crowd = await Promise.all(Array.from({ length: 30 }, () => openStream(rigs[0].url(flows))))
    await Promise.all(crowd.map((one) => one.until(opened)))
    expect(await count()).toBe(before + 1)
    for (const one of crowd) one.close()
  })

  test('a pause of the reader loses and repeats nothing, and what waits for it stays bounded', async () => {
    const flows = names('pause', 20)
    const reader = await openStream(rigs[0].url(flows))
    await reader.until(opened)
    reader.stop()
    for (let i = 0; i < 30; i++) {
      await Promise.all(flows.map((flow) => publish(rigs[0], flow, 2, 'y'.repeat(10_000))))
    }
    reader.resume()
    await reader.until(got(20 * 60))
    for (const flow of flows) expect(seqs(reader.frames).get(flow)).toEqual(countTo(60))
    reader.close()
  })
})
