import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LEAP } from '../../src/events/kinds.js'
import type { StoredEvent } from '../../src/events/log.js'
import { RedisLog } from '../../src/events/redis.js'
import type { RedisClient } from '../../src/redis/client.js'
import { key } from '../../src/redis/keys.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reignOf } from '../term/reign.js'
import { beginAt, draft, eventOf, newBatch, numbered, readAll, seqsOf, someFlow } from './drafts.js'
import { upTo } from './readers.js'

function appendOnly({ folder }: RedisServer): string {
  const files = join(folder, 'appendonlydir')
  return join(files, readdirSync(files).find((name) => name.endsWith('.incr.aof')) ?? '')
}

describe('fast flows on Redis', () => {
  let server: RedisServer
  let redis: RedisClient
  let number = 1
  let base: number | Promise<number> = 0
  let identity = ''
  let log: RedisLog
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url)
    await redis.ready(5000)
    log = new RedisLog({
      redis,
      maxEvents: 10_000,
      silenceMs: 1e9,
      term: {
        get reign() {
          return reignOf(number, { identity })
        },
        get last() {
          return this.reign
        },
        operate: (run) => run(reignOf(number, { identity })),
        onChange: () => () => undefined,
        join: () => undefined,
      },
      beginnings: beginAt(() => base),
    })
  })
  afterAll(async () => {
    redis?.close()
    await server?.remove()
  })

  it('numbers 1, 2, 3 … within a term, and answers the same event for the same key', async () => {
    const ref = someFlow()
    expect(seqsOf(await log.append(numbered(ref, 3), newBatch()))).toEqual([1, 2, 3])
    const [first] = await log.append([draft(ref, { key: 'k', payload: '"one"' })], newBatch())
    const [again, next] = await log.append(
      [draft(ref, { key: 'k', payload: '"two"' }), draft(ref, { key: 'l' })],
      newBatch(),
    )
    expect(again).toMatchObject({ repeated: true, event: eventOf(first) })
    expect(eventOf(next).seq).toBe(5)
    expect((await readAll(log, ref)).map((event) => event.seq)).toEqual([1, 2, 3, 4, 5])
  })

  it('stores a batch once that is repeated after a lost answer', async () => {
    const ref = someFlow()
    await log.append(numbered(ref, 250), newBatch())
    const drafts = [
      draft(ref, { payload: '1' }),
      draft(ref, { key: 'a' }),
      draft(ref, { payload: '2' }),
      draft(ref, { key: 'a' }),
    ]
    const batch = newBatch()
    const first = await log.append(drafts, batch)
    await log.append(numbered(ref, 450), newBatch())
    expect(await log.append(drafts, { ...batch, repeat: true })).toEqual(first)
    expect(first.map((outcome) => 'repeated' in outcome && outcome.repeated)).toEqual([
      false,
      false,
      false,
      true,
    ])
    expect(await readAll(log, ref)).toHaveLength(250 + 3 + 450)
  })

  it('leaps where nobody knows how far the term before had come, and refuses an older term', async () => {
    const ref = someFlow()
    await log.append(numbered(ref, 3), newBatch())
    number = 4
    expect(seqsOf(await log.append(numbered(ref, 2), newBatch()))).toEqual([LEAP + 4, LEAP + 5])
    const page = await log.read(ref, { order: 'asc', limit: 10 })
    expect(page.position).toEqual({ term: 4, termFrom: LEAP + 4, head: LEAP + 5, floor: 0 })
    expect(page.events.map(({ term, seq }) => [term, seq])).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
      [4, LEAP + 4],
      [4, LEAP + 5],
    ])
    number = 1
    await expect(log.append(numbered(ref, 1), newBatch())).rejects.toMatchObject({ code: 'TERM_UNKNOWN' })
  })

  it('goes on without a leap behind what was carried over', async () => {
    const ref = someFlow()
    await log.append(numbered(ref, 3), newBatch())
    await redis.call('HSET', key('flow:log', ref), 'carried', '5')
    number = 6
    expect(seqsOf(await log.append(numbered(ref, 1), newBatch()))).toEqual([4])
    // What came back is older than that reign, of which nobody knows how far it had come.
    await redis.call('HSET', key('flow:log', ref), 'carried', '5')
    number = 7
    expect(seqsOf(await log.append(numbered(ref, 1), newBatch()))).toEqual([LEAP + 5])
    number = 1
  })

  it('gives no number again where what was carried over is lost again', async () => {
    const ref = someFlow()
    number = 10
    await log.append(numbered(ref, 3), newBatch())
    await redis.call('HSET', key('flow:log', ref), 'carried', '10')
    number = 11
    base = 5
    expect(seqsOf(await log.append(numbered(ref, 1), newBatch()))).toEqual([6])
    expect((await log.read(ref, { order: 'asc', limit: 10 })).position).toMatchObject({
      term: 11,
      termFrom: 6,
    })
    base = 0
    number = 1
  })

  it('reads any stretch as a list would, over terms and holes', async () => {
    const ref = someFlow()
    for (const term of [1, 3, 8]) {
      number = term
      await log.append(numbered(ref, 40), newBatch())
    }
    number = 1
    const all = (await readAll(log, ref)) as StoredEvent[]
    const seqs = all.map((event) => event.seq)
    expect(seqs).toHaveLength(120)
    const bound = fc.oneof(fc.constantFrom(...seqs), fc.integer({ min: 0, max: 2 * LEAP + 2000 }))
    await fc.assert(
      fc.asyncProperty(
        bound,
        bound,
        fc.boolean(),
        fc.integer({ min: 1, max: 130 }),
        async (after, before, asc, limit) => {
          const { events } = await log.read(ref, { after, before, order: asc ? 'asc' : 'desc', limit })
          const within = seqs.filter((seq) => seq > after && seq < before)
          expect(events.map((event) => event.seq)).toEqual((asc ? within : within.reverse()).slice(0, limit))
        },
      ),
      { numRuns: 200 },
    )
  })

  it('begins behind the base for a flow that Redis does not know', async () => {
    base = 500
    const ref = someFlow()
    expect(seqsOf(await log.append(numbered(ref, 2), newBatch()))).toEqual([501, 502])
    base = 0
    number = 3
    await log.append(numbered(ref, 1), newBatch())
    // What lies before was never here: it was not trimmed, in whichever term the flow goes on.
    expect((await log.read(ref, { order: 'asc', limit: 1 })).position).toMatchObject({ term: 3, floor: 0 })
    number = 1
  })

  it('sends nothing to another server than the reign’s, though it came back with the same marker', async () => {
    const ref = someFlow()
    identity = redis.identity ?? ''
    expect(seqsOf(await log.append(numbered(ref, 1), newBatch()))).toEqual([1])
    let known: (base: number) => void = () => undefined
    base = new Promise((resolve) => (known = resolve))
    const underWay = log.append(numbered(ref, 1), newBatch())
    await server.kill()
    await server.start('same')
    await eventually(() => redis.usable && redis.identity !== identity, { what: 'the other server' })
    known(0)
    await expect(underWay).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    identity = ''
    base = 0
    expect(await readAll(log, ref)).toHaveLength(1)
  })

  it('is in order though Redis brings half a script back: cut off within it, and started twice', async () => {
    const ref = someFlow()
    number = 1
    await log.append(numbered(ref, 40), newBatch())
    number = 3
    const batch = seqsOf(await log.append(numbered(ref, 30, 7_000_000), newBatch()))
    const restart = async (meanwhile: () => void) => {
      const { identity } = redis
      await server.kill()
      meanwhile()
      await server.start('same')
      await eventually(() => redis.usable && redis.identity !== identity, { what: 'the other server' })
    }
    const cut = () => readFileSync(appendOnly(server)).indexOf('7000020')
    await eventually(() => cut() > 0, { what: 'the file has it' })
    await restart(() => truncateSync(appendOnly(server), cut() + 4))
    expect((await readAll(log, ref)).map(({ seq }) => seq)).toEqual(upTo(40))
    number = 5
    // As PostgreSQL tells it, which knows of the term that Redis has lost.
    base = LEAP
    const after = seqsOf(await log.append(numbered(ref, 30), newBatch()))
    // What it had not carried out when it was started first it carries out now, in front of what came since.
    await restart(() => undefined)
    const whole = [...upTo(40), ...batch.slice(0, 20), ...after]
    const { events, position } = await log.read(ref, { order: 'asc', limit: 1000 })
    expect(events.map(({ seq }) => seq)).toEqual(whole)
    expect(position).toMatchObject({ term: 5, floor: 0 })
    for (const [i, at] of whole.entries()) {
      const asc = await log.read(ref, { order: 'asc', limit: 1000, after: at })
      expect(asc.events.map(({ seq }) => seq)).toEqual(whole.slice(i + 1))
      const desc = await log.read(ref, { order: 'desc', limit: 1000, before: at })
      expect(desc.events.map(({ seq }) => seq)).toEqual(whole.slice(0, i).reverse())
    }
    number = 1
    base = 0
  })

  it('keeps a payload byte for byte', async () => {
    const ref = someFlow()
    const payloads = [
      String.raw`"\u0000\ud800 \/"`,
      '{ "spaced" : [ 1 ,2 ] }',
      JSON.stringify('\u2028😀\uffff\r\n'),
      '-0',
      '{"a":\n1}',
    ]
    await log.append(
      payloads.map((payload) => draft(ref, { payload })),
      newBatch(),
    )
    expect((await readAll(log, ref)).map((event) => event.payload)).toEqual(payloads)
  })
})
