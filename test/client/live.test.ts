import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Message, SpillwayClient } from '../../client/index.js'
import { embeddedFolder } from '../support/embedded.js'
import { eventually } from '../support/eventually.js'
import { freePort } from '../support/processes.js'
import { spawnServer } from '../support/server.js'
import { type Running, startEmbedded } from './running.js'
import { deferred } from './wire.js'

let running: Running
let client: SpillwayClient
beforeAll(async () => {
  running = await startEmbedded()
  client = new SpillwayClient({ baseUrl: running.url })
})
afterAll(() => running.remove())

type Steps = { step: { n: number }; done: null }

/** Takes so many messages and leaves. */
async function take(messages: AsyncIterable<Message>, count: number): Promise<Message[]> {
  const taken: Message[] = []
  for await (const message of messages) {
    taken.push(message)
    if (taken.length === count) break
  }
  return taken
}

const ids = (messages: readonly Message[]) =>
  messages.map((message) => (message.kind === 'event' ? message.event.id : `gap ${message.gap.reason}`))

describe('the client on a real server', () => {
  test('publishes, reads back and lists', async () => {
    const event = await client.publish('calls', 'step', { n: 1 }, { source: 'test', key: 'one' })
    expect(event).toMatchObject({
      id: '1-1',
      flow: 'calls',
      type: 'step',
      payload: { n: 1 },
      source: 'test',
      durability: 'durable',
    })
    expect(await client.publish('calls', 'step', { n: 1 }, { key: 'one' })).toEqual(event)
    const more = await client.publishMany('calls', [
      { type: 'step', payload: { n: 2 } },
      { type: 'done', payload: null },
    ])
    expect(more.map(({ id }) => id)).toEqual(['1-2', '1-3'])
    const first = await client.history('calls', { limit: 2 })
    expect(first).toMatchObject({ events: [{ id: '1-1' }, { id: '1-2' }], gaps: [], next: '1-2' })
    expect(await client.history('calls', { after: first.next ?? '' })).toMatchObject({
      events: [{ id: '1-3' }],
      next: null,
    })
    await client.setState('calls', {
      status: 'running',
      current_phase: 'test',
      progress_percentage: 50,
      engagement: 'e1',
    })
    expect(await client.state('calls')).toMatchObject({ status: 'running', current_phase: 'test' })
    expect(await client.meta('calls')).toMatchObject({ status: 'running', phase: 'test', progress: 50 })
    expect(await client.flows({ engagement: 'e1' })).toMatchObject([
      { flow: 'calls', status: 'running', last_event_id: '1-3' },
    ])
    await client.clearState('calls')
    expect(await client.state('calls')).toBeNull()
    await expect(client.publish('calls', 'gap', 1)).rejects.toMatchObject({
      status: 400,
      code: 'RESERVED_TYPE',
    })
  })

  test('streams history and goes on live', async () => {
    await client.publish('both', 'step', { n: 1 })
    const got: string[] = []
    const live = deferred<void>()
    const all = deferred<void>()
    const watch = client.watch<Steps>('both', {
      after: '0',
      onEvent: (event) => {
        // Narrowed by its type: the payload is known.
        if (event.type === 'step') got.push(`${event.id} ${event.payload.n}`)
        if (got.length === 1) live.resolve()
        if (got.length === 3) all.resolve()
      },
    })
    await live.promise
    await client.publish('both', 'step', { n: 2 })
    await client.publish('both', 'step', { n: 3 })
    await all.promise
    watch.close()
    expect(got).toEqual(['1-1 1', '1-2 2', '1-3 3'])
  })

  test('a cursor of any message goes on exactly behind it, on one flow and on several', async () => {
    for (const flow of ['a', 'b,c'])
      await client.publishMany(
        flow,
        [1, 2, 3].map((n) => ({ type: 'step', payload: { n } })),
      )
    const whole = await take(client.subscribe(['a', 'b,c'], { after: '0' }), 6)
    expect(new Set(ids(whole)).size).toBe(3)
    for (const [index, message] of whole.slice(0, -1).entries()) {
      const rest = await take(client.subscribe(['a', 'b,c'], { after: message.cursor }), 5 - index)
      expect(rest.map(where).sort()).toEqual(
        whole
          .slice(index + 1)
          .map(where)
          .sort(),
      )
    }
    expect(ids(await take(client.subscribe('a', { after: '1-1' }), 2))).toEqual(['1-2', '1-3'])
  })

  test('a ticket opens its flows and no other', async () => {
    await client.publish('ticketed', 'step', { n: 1 })
    const issue = async () => (await client.ticket(['ticketed'], { ttlMs: 60_000 })).ticket
    const reader = new SpillwayClient({ baseUrl: running.url, ticket: issue })
    expect(ids(await take(reader.subscribe('ticketed', { after: '0' }), 1))).toEqual(['1-1'])
    await expect(take(reader.subscribe('calls', { after: '0' }), 1)).rejects.toMatchObject({ status: 403 })
  })

  test('reads ten thousand events in order', async () => {
    const batch = Array.from({ length: 1000 }, (_, n) => ({
      type: 'step',
      payload: { n, text: 'ä\r\n\u2028'.repeat(10) },
    }))
    for (let n = 0; n < 10; n += 1) await client.publishMany('many', batch)
    const got = await take(client.subscribe('many', { after: '0' }), 10_000)
    expect(ids(got)).toEqual(Array.from({ length: 10_000 }, (_, index) => `1-${index + 1}`))
    const last = got.at(-1)
    expect(last?.kind === 'event' && last.event.payload).toEqual(batch[999]?.payload)
  })

  test('says what its retention has taken, then goes on', async () => {
    const batch = Array.from({ length: 1000 }, () => ({ type: 'step', payload: null }))
    for (let n = 0; n < 12; n += 1) await client.publishMany('trimmed', batch)
    await eventually(
      async () => (await client.history('trimmed', { after: '1-5', limit: 1 })).gaps.length === 1,
    )
    const [gap, next] = await take(client.subscribe('trimmed', { after: '1-5' }), 2)
    if (gap?.kind !== 'gap' || next?.kind !== 'event') throw new Error('expected a gap, then an event')
    expect(gap.gap).toMatchObject({ flow: 'trimmed', from: '1-6', reason: 'trimmed' })
    expect(Number(next.event.id.slice(2))).toBe(Number(gap.gap.to.slice(2)) + 1)
    expect(ids(await take(client.subscribe('trimmed', { after: gap.cursor }), 1))).toEqual([next.event.id])
  })

  test('a server that stops and starts again on the same files costs no event and repeats none', async () => {
    const reader = new SpillwayClient({ baseUrl: running.url })
    const statuses: string[] = []
    const got: string[] = []
    let enough = deferred<void>()
    let target = 5
    const watch = reader.watch(['restarted', 'quiet'], {
      after: '0',
      onEvent: ({ flow, id }) => {
        got.push(`${flow} ${id}`)
        if (got.length === target) enough.resolve()
      },
      onGap: ({ from, to }) => void got.push(`gap ${from} ${to}`),
      onStatus: ({ state }) => void statuses.push(state),
    })
    const expected: string[] = []
    for (let round = 1; round <= 3; round += 1) {
      for (let n = 0; n < 5; n += 1)
        expected.push(`restarted ${(await client.publish('restarted', 'step', { n })).id}`)
      await enough.promise
      await running.stop()
      enough = deferred()
      target += 5
      await running.start()
    }
    for (let n = 0; n < 5; n += 1)
      expected.push(`restarted ${(await client.publish('restarted', 'step', { n })).id}`)
    await enough.promise
    watch.close()
    expect(got).toEqual(expected)
    expect(statuses.filter((state) => state === 'open').length).toBeGreaterThanOrEqual(4)
  })
})

describe('the client on a server that is killed', () => {
  test('has every acknowledged event once and in order', async () => {
    const dataDir = await embeddedFolder()
    const env = { SPILLWAY_DATA_DIR: dataDir, SPILLWAY_PORT: String(await freePort()) }
    let server = await spawnServer(env)
    const reader = new SpillwayClient({ baseUrl: server.url })
    const got: string[] = []
    const gaps: string[] = []
    const watch = reader.watch('killed', {
      after: '0',
      onEvent: ({ id }) => void got.push(id),
      onGap: ({ from, to }) => void gaps.push(`${from}..${to}`),
    })
    const acknowledged = new Set<string>()
    let over = false
    const publisher = async (name: number) => {
      for (let n = 0; !over; n += 1) {
        // A key makes the repeat after a lost answer exact: the client repeats it until somebody answers.
        const event = await client
          .publish('killed', 'step', { n }, { key: `${name}-${n}` })
          .catch(() => undefined)
        if (event) acknowledged.add(event.id)
      }
    }
    const client = new SpillwayClient({ baseUrl: server.url })
    const publishers = [1, 2, 3, 4].map(publisher)
    const more = async () => {
      const before = acknowledged.size
      await eventually(() => acknowledged.size > before + 40, { withinMs: 30_000, what: 'publishing' })
    }
    await more()
    await server.kill9()
    server = await spawnServer(env)
    await more()
    over = true
    await Promise.all(publishers)
    const { events } = await client.history('killed', { order: 'desc', limit: 1 })
    const last = events[0]?.id ?? ''
    await eventually(() => got.at(-1) === last, { withinMs: 30_000, what: 'the reader at the end' })
    watch.close()
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
    expect(got).toEqual(Array.from({ length: Number(last.slice(2)) }, (_, index) => `1-${index + 1}`))
    expect(gaps).toEqual([])
    expect([...acknowledged].filter((id) => !got.includes(id))).toEqual([])
  }, 120_000)
})

function where(message: Message): string {
  return message.kind === 'event' ? `${message.event.flow} ${message.event.id}` : `gap ${message.gap.flow}`
}
