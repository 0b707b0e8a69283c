import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ByTheClock } from '../../src/events/beginnings.js'
import { RedisLog } from '../../src/events/redis.js'
import type { RedisClient } from '../../src/redis/client.js'
import { key } from '../../src/redis/keys.js'
import type { Reign, Term } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reignOf } from '../term/reign.js'
import { draft, newBatch, numbered, readAll, seqsOf, someFlow } from './drafts.js'

const KEPT = 20
/** Redis trims whole nodes of a stream, of a hundred entries, and that only beyond a hundred more. */
const SLACK = 200

describe('what a flow leaves in Redis', () => {
  let server: RedisServer
  let redis: RedisClient
  let log: RedisLog
  let number: number
  const reign = (): Reign => reignOf(number)
  const term: Term = {
    get reign() {
      return reign()
    },
    get last() {
      return reign()
    },
    operate: (run) => run(reign()),
    onChange: () => () => undefined,
    join: () => undefined,
  }
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
    await redis.ready(5000)
  })
  afterAll(async () => {
    redis?.close()
    await server?.remove()
  })
  beforeEach(() => {
    number = 1
    log = new RedisLog({ redis, term, maxEvents: KEPT, silenceMs: 1e9, beginnings: new ByTheClock() })
  })
  const terms = async (ref: ReturnType<typeof someFlow>) =>
    String(await redis.call('hget', key('flow:log', ref), 'terms'))
      .trim()
      .split(' ')

  it('is as many terms as its events are of, however often Redis was restarted', async () => {
    const ref = someFlow()
    const given: number[] = []
    for (number = 1; number <= 400; number++)
      given.push(...seqsOf(await log.append(numbered(ref, 1), newBatch())))
    number = 400
    expect((await terms(ref)).length).toBeLessThanOrEqual(KEPT + SLACK)
    const events = await readAll(log, ref)
    expect(events.length).toBeLessThanOrEqual(KEPT + SLACK)
    expect(events.map(({ seq }) => seq)).toEqual(given.slice(-events.length))
    expect(events.at(-1)?.term).toBe(400)
    await redis.call('del', key('flow:events', ref))
    number = 401
    await log.append(numbered(ref, 1), newBatch())
    expect(await terms(ref)).toHaveLength(1)
  })

  it('is the keys of about as many events as it keeps, between two renewals too', async () => {
    const ref = someFlow()
    for (let i = 0; i < 20; i++) {
      const drafts = Array.from({ length: 50 }, (_, n) => draft(ref, { key: `${i}-${n}` }))
      await log.append(drafts, newBatch())
    }
    expect(Number(await redis.call('zcard', key('flow:keys', ref)))).toBeLessThanOrEqual(2 * KEPT + SLACK)
    // Those of the events that are kept are known.
    const [again] = await log.append([draft(ref, { key: '19-49' })], newBatch())
    expect(again).toMatchObject({ repeated: true })
  })
})
