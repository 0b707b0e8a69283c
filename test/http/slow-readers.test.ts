import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type SpillwayServer, spawnServer } from '../support/server.js'
import { RawReader } from './raw-reader.js'

const STOPPED = 2000
const READING = 50
const EVENTS = 64
/** Together far more than the kernel takes for 2,000 sockets, so that the server has to keep or to wait. */
const PAYLOAD = 'p'.repeat(16_384)
const BUFFER_BYTES = 65_536
/** Buffers that were sent and wait for the collector: it comes later for them from Node 22 on. */
const GARBAGE_BYTES = (Number.parseInt(process.versions.node, 10) >= 22 ? 192 : 64) * 2 ** 20

let database: FreshDatabase
let server: SpillwayServer

beforeAll(async () => {
  database = await freshDatabase()
  server = await spawnServer({
    DATABASE_URL: database.url,
    SPILLWAY_STREAM_BUFFER_BYTES: String(BUFFER_BYTES),
    SPILLWAY_STREAM_STALL_MS: '2000',
  })
})
afterAll(async () => {
  await server.kill9()
  await database.drop()
})

const rssOf = (pid: number) => {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) * 1024
}
const filesOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length
const mb = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MB`

async function publish(payload: unknown): Promise<void> {
  const answer = await fetch(`${server.url}/v1/flows/fan/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'step', payload }),
  })
  expect(answer.status).toBe(201)
  await answer.arrayBuffer()
}

async function open(readers: readonly RawReader[]): Promise<void> {
  for (let i = 0; i < readers.length; i += 100) {
    await Promise.all(readers.slice(i, i + 100).map((reader) => reader.open()))
  }
}

test('2,000 readers that stop cost bounded memory, delay nobody, and resume', {
  timeout: 300_000,
}, async () => {
  const delays: number[] = []
  let sentAt = 0
  const one = `${server.url}/v1/flows/fan/stream`
  const many = `${server.url}/v1/stream?flows=fan,other`
  const reading = Array.from(
    { length: READING },
    (_, i) => new RawReader(i % 2 ? many : one, 'fan', () => delays.push(performance.now() - sentAt)),
  )
  // Half of them with a cursor over several flows: their frames are their own, not shared with others.
  const stopped = Array.from({ length: STOPPED }, (_, i) => new RawReader(i % 2 ? many : one, 'fan'))
  const all = [...reading, ...stopped]
  const fewFiles = filesOf(server.pid)
  await open(all)
  await publish('warm')
  await eventually(() => all.every(({ seq }) => seq === 1), { what: 'the first event at all readers' })
  const before = rssOf(server.pid)
  for (const reader of stopped) reader.stop()
  delays.length = 0

  let most = before
  for (let n = 2; n <= EVENTS; n++) {
    sentAt = performance.now()
    await publish(PAYLOAD)
    const what = `event ${n} at all that read`
    await eventually(() => reading.every(({ seq }) => seq === n), { what, everyMs: 1, withinMs: 20_000 })
    most = Math.max(most, rssOf(server.pid))
  }
  delays.sort((a, b) => a - b)
  const p99 = delays[Math.floor(delays.length * 0.99)] ?? 0
  const p50 = delays[Math.floor(delays.length / 2)] ?? 0

  await eventually(() => filesOf(server.pid) < fewFiles + READING + 200, {
    what: 'the cut of most that stopped',
    withinMs: 30_000,
  })
  most = Math.max(most, rssOf(server.pid))
  const grown = most - before
  process.stdout.write(
    `2,000 stopped readers: RSS ${mb(before)} -> at most ${mb(most)}; ` +
      `50 others: p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms\n`,
  )
  // Half may hold their budget and one delivery of their own; what the others share counts once. Without a
  // budget it was 249 MB.
  expect(grown).toBeLessThan((STOPPED / 2) * (BUFFER_BYTES + PAYLOAD.length) + GARBAGE_BYTES)
  expect(p99).toBeLessThan(3000)

  for (const reader of stopped) reader.resume()
  await eventually(() => all.every(({ seq }) => seq === EVENTS), {
    what: 'every event at all readers',
    withinMs: 60_000,
    everyMs: 50,
  })
  expect(all.map(({ fault }) => fault).filter((fault) => fault !== undefined)).toEqual([])
  expect(stopped.filter(({ cuts }) => cuts > 0).length).toBeGreaterThan(STOPPED / 2)
  expect(reading.every(({ cuts }) => cuts === 0)).toBe(true)
  for (const reader of all) reader.close()
})
