import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Flow, Spillway, SpillwayError } from '../src/index.js'
import { whatIs } from '../src/redis/keys.js'
import { keepingOf } from '../src/spillway.js'
import { gapOf, reading, seqs } from './events/readers.js'
import { eventually } from './support/eventually.js'
import { redisKilled } from './support/faults/redis-faults.js'
import { type RedisServer, startRedis } from './support/redis.js'

describe('redis mode: Redis is the only store', () => {
  let server: RedisServer
  let a: Spillway
  let b: Spillway
  beforeAll(async () => {
    server = await startRedis({ appendfsync: 'always' })
  })
  afterAll(() => server.remove())
  beforeEach(async () => {
    await server.start('same')
    await server.ask('FLUSHALL')
    const open = () => Spillway.open({ redis: server.url })
    a = await open()
    b = await open()
  })
  afterEach(() => Promise.all([a.close(), b.close()]))

  const numberNow = () => a.term.reign?.number ?? 0
  const anew = (before: number) =>
    eventually(
      () => {
        const [x, y] = [a.term.reign?.number ?? 0, b.term.reign?.number]
        return x > before && x === y && x
      },
      { what: `a term beyond ${before}`, withinMs: 15_000 },
    ) as Promise<number>
  /** Publishes as soon as that can be done. */
  const publish = (flow: Flow, n: number) =>
    eventually(() => flow.publish('tick', { n }), { what: 'a publish', withinMs: 15_000 })
  const payloads = (events: readonly { type: string; payload: unknown }[]) =>
    events.map(({ type, payload }) => (type === 'gap' ? 'gap' : (payload as { n: number }).n))

  it('is what a Redis alone makes, and says so', () => {
    expect([a.mode, a.holdsDataDir]).toEqual(['redis', false])
    expect(a.termReport()).toMatchObject({ mode: 'redis', store: 'redis', phase: 'open', trusted: true })
    expect(a.termReport().number).toBe(b.termReport().number)
    expect(() => a.database).toThrow(expect.objectContaining({ code: 'NO_DURABLE_STORE' }))
    expect(() => a.turn('postgres')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })

  it('makes every flow fast and one Spillway of all instances: readers see it begin, live and later', async () => {
    const flow = a.tenant('acme').flow('f')
    const other = b.tenant('acme').flow('f')
    const early = reading((signal) => other.subscribe({ signal }))
    const fromStart = reading((signal) => other.subscribe({ after: '0', signal }))
    await eventually(() => b.live.feed({ tenant: 'acme', flow: 'f' }).place, { what: 'readers that wait' })
    const first = await flow.publish('tick', { n: 1 })
    expect(first).toMatchObject({ durability: 'fast', id: expect.stringMatching(`^${numberNow()}-`) })
    for (let n = 2; n <= 20; n++) await (n % 2 === 0 ? other : flow).publish('tick', { n })
    const all = Array.from({ length: 20 }, (_, i) => i + 1)
    for (const reader of [early, fromStart]) expect(payloads(await reader.until(20))).toEqual(all)
    const [from] = seqs([first]) as [number]
    expect(seqs(fromStart.events)).toEqual(all.map((n) => from + n - 1))
    const late = reading((signal) => flow.subscribe({ after: '0', signal }))
    expect(payloads(await late.until(20))).toEqual(all)
    // Pages in both directions join to the same, and end.
    const up = await other.readPage({ limit: 15 })
    expect([up.events.length, up.more, up.gaps]).toEqual([15, true, []])
    const down = await other.readPage({ limit: 20, order: 'desc' })
    expect([down.events.length, down.more]).toEqual([20, false])
    expect(payloads(await other.history({ last: 3 }))).toEqual([18, 19, 20])
    await Promise.all([early.stop(), fromStart.stop(), late.stop()])
  })

  it('refuses a durable publish before anything is written, for good', async () => {
    const flow = a.tenant('acme').flow('d', { durability: 'durable' })
    await expect(flow.publish('tick')).rejects.toMatchObject({
      code: 'NO_DURABLE_STORE',
      status: 409,
      temporary: false,
    })
    await expect(flow.publishMany([{ type: 'a' }, { type: 'b' }])).rejects.toMatchObject({
      code: 'NO_DURABLE_STORE',
    })
    expect(await server.ask('EXISTS', 'flow:log:{acme:d}', 'flow:events:{acme:d}')).toBe(0)
    expect(await a.tenant('acme').flow('d').publish('tick')).toMatchObject({ durability: 'fast' })
  })

  it('answers the first event to the same key', async () => {
    const one = await a.tenant('acme').flow('k').publish('tick', { n: 1 }, { key: 'k' })
    expect(await b.tenant('acme').flow('k').publish('tick', { n: 2 }, { key: 'k' })).toEqual(one)
  })

  it.each([
    { name: 'was emptied', kept: false, happen: async () => void (await server.ask('FLUSHALL')) },
    {
      name: 'was restarted empty',
      kept: false,
      happen: async () => {
        await server.kill()
        await server.start('empty')
      },
    },
    {
      name: 'was restarted with its data',
      kept: true,
      happen: async () => {
        await server.kill()
        await server.start('same')
      },
    },
  ])('tells every reader of what a Redis may have lost that $name', async ({ kept, happen }) => {
    const before = numberNow()
    const flow = a.tenant('acme').flow('f')
    const waiting = reading((signal) => b.tenant('acme').flow('empty').subscribe({ after: '0', signal }))
    const live = reading((signal) => b.tenant('acme').flow('f').subscribe({ after: '0', signal }))
    const ids: string[] = []
    for (let n = 1; n <= 5; n++) ids.push((await flow.publish('tick', { n })).id)
    await live.until(5)
    await happen()
    const number = await anew(before)
    const next = await publish(flow, 6)
    expect(next.id).toMatch(new RegExp(`^${number}-`))
    expect(seqs([next])[0]).toBeGreaterThan(seqs([{ ...next, id: ids[4] as string }])[0] as number)
    // Live: everything it had, the gap, and what came after.
    expect(payloads(await live.until(7))).toEqual([1, 2, 3, 4, 5, 'gap', 6])
    const [last] = seqs([{ ...next, id: ids[4] as string }]) as [number]
    expect(gapOf(live.events[5])).toMatchObject({
      from: expect.stringMatching(`-${last + 1}$`),
      to: `${number}-${(seqs([next])[0] as number) - 1}`,
      reason: 'turn',
    })
    // Who comes back with a cursor, wherever it stood.
    const resumed = reading((signal) =>
      b
        .tenant('acme')
        .flow('f')
        .subscribe({ after: ids[2] as string, signal }),
    )
    const expected = kept ? [4, 5, 'gap', 6] : ['gap', 6]
    expect(payloads(await resumed.until(expected.length))).toEqual(expected)
    // Who waited at the beginning cannot know whether there was something.
    await publish(a.tenant('acme').flow('empty'), 1)
    expect(payloads(await waiting.until(2))).toEqual(['gap', 1])
    // Who has never seen the flow gets what there is.
    const fresh = reading((signal) => b.tenant('acme').flow('empty').subscribe({ after: '0', signal }))
    expect(payloads(await fresh.until(1))).toEqual([1])
    await Promise.all([waiting.stop(), live.stop(), resumed.stop(), fresh.stop()])
  })

  it('gives no number twice where older data came back, also to a flow that came to be meanwhile', async () => {
    const before = numberNow()
    const [old, young] = [a.tenant('acme').flow('old'), a.tenant('acme').flow('young')]
    const ids = new Set<string>()
    for (let n = 1; n <= 5; n++) ids.add((await old.publish('tick', { n })).id)
    const reader = reading((signal) => b.tenant('acme').flow('old').subscribe({ after: '0', signal }))
    const fault = redisKilled(server, 'older', async () => {
      for (let n = 6; n <= 9; n++) ids.add((await old.publish('tick', { n })).id)
      for (let n = 1; n <= 3; n++) ids.add((await young.publish('tick', { n })).id)
      await reader.until(9)
    })
    await fault.begin()
    await fault.end()
    await anew(before)
    for (const flow of [old, young]) {
      const { id } = await publish(flow, 10)
      expect(ids).not.toContain(id)
    }
    expect(payloads(await reader.until(11))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 'gap', 10])
    expect(payloads(await young.history())).toEqual([10])
    await reader.stop()
  })

  it('tells live readers of a flow whose keys were dropped while Redis reigns on', async () => {
    const [flow, other] = [a.tenant('acme').flow('f'), b.tenant('acme').flow('f')]
    const term = numberNow()
    const live = reading((signal) => other.subscribe({ after: '0', signal }))
    const drop = () => server.ask('DEL', 'flow:events:{acme:f}', 'flow:log:{acme:f}', 'flow:keys:{acme:f}')
    const published = [await flow.publish('tick', { n: 1 })]
    await live.until(1)
    await drop()
    // By one that knows nothing of it, and by one that does.
    published.push(await other.publish('tick', { n: 2 }))
    await live.until(3)
    await drop()
    published.push(await flow.publish('tick', { n: 3 }))
    expect(payloads(await live.until(5))).toEqual([1, 'gap', 2, 'gap', 3])
    expect([live.events[1], live.events[3]].map((event) => gapOf(event).reason)).toEqual(['turn', 'lost'])
    const given = seqs(published)
    expect(given).toEqual([...new Set(given)].sort((x, y) => x - y))
    expect(numberNow()).toBe(term)
    await live.stop()
  })

  it('fails a publish after one short time-out while Redis is silent, and goes on with streams that stayed open', async () => {
    const flow = a.tenant('acme').flow('f')
    const reader = reading((signal) => b.tenant('acme').flow('f').subscribe({ after: '0', signal }))
    await flow.publish('tick', { n: 1 })
    await reader.until(1)
    server.freeze()
    const asked = performance.now()
    const failed = await flow.publish('tick', { n: 2 }).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(SpillwayError)
    expect(failed).toMatchObject({ code: 'STORE_UNAVAILABLE', temporary: true })
    expect(performance.now() - asked).toBeLessThan(3000)
    await eventually(() => a.term.reign === undefined, { what: 'nobody says that it reigns' })
    server.thaw()
    await publish(flow, 3)
    const found = await reader.found(({ payload }) => (payload as { n?: number }).n === 3)
    expect(found.type).toBe('tick')
    // The same Redis with the same data: nothing is missing, so nobody is told of a gap.
    expect(reader.events.some(({ type }) => type === 'gap')).toBe(false)
    await reader.stop()
  })

  it('writes no key that is not in the registry, and none without an end but markers and secrets', async () => {
    const flow = a.tenant('acme').flow('f')
    await flow.publish('tick', {}, { key: 'k' })
    await flow.setState({ status: 'running', engagement: 'e' })
    await keepingOf(a).secrets.shared('tickets')
    await keepingOf(a).bases.store('acme', [{ term: 1, seq: 1 }])
    const stopping = new AbortController()
    const handled = new Promise<void>((resolve) => {
      void flow.process(
        'g',
        () => {
          resolve()
          throw new Error('no')
        },
        { from: 'beginning', maxAttempts: 1, signal: stopping.signal },
      )
    })
    await handled
    await eventually(async () => (await flow.dead('g')).length === 1)
    stopping.abort()
    const keys = (await server.ask('KEYS', '*')) as string[]
    expect(keys.map((key) => whatIs(key)?.name ?? key)).not.toContain(undefined)
    const endless = new Set<string>()
    const kinds = new Set<string>()
    for (const key of keys) {
      const { name } = whatIs(key) ?? { name: `unknown: ${key}` }
      kinds.add(name)
      if ((await server.ask('PTTL', key)) === -1) endless.add(name)
    }
    expect([...endless].sort()).toEqual(['spillway:secret', 'term:marker'])
    expect([...kinds].sort()).toEqual(
      [
        ...['flow:events', 'flow:log', 'flow:keys', 'flow:group', 'flow:dead', 'flow:state', 'flow:meta'],
        ...['engagement', 'recent:flows', 'stream:cursor', 'spillway:secret', 'term:marker'],
      ].sort(),
    )
  })
})
