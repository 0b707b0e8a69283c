import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RedisLog } from '../../../src/events/redis.js'
import { parseAddress } from '../../../src/redis/address.js'
import { RedisMarkers } from '../../../src/term/redis.js'
import type { Reign } from '../../../src/term/term.js'
import { beginAt, newBatch, numbered, someFlow } from '../../events/drafts.js'
import { type RedisServer, startRedis } from '../../support/redis.js'
import { reignOf } from '../reign.js'
import type { Guard } from '../sim/guards.js'
import { difference, type Side } from './compare.js'
import { fenced } from './fenced.js'
import { CalmWorld, EVERYBODY } from './worlds.js'

type Request =
  | { readonly do: 'mark' | 'confirm' | 'operation'; readonly number: number; readonly attempt: string }
  | { readonly do: 'flush' }

const REQUEST: fc.Arbitrary<Request> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom('mark', 'confirm', 'operation'),
      number: fc.integer({ min: 9, max: 11 }),
      attempt: fc.constantFrom('a', 'b'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'flush' } as const) },
)

const openedBy = (number: number, attempt: string, marker: string): Reign => ({
  ...reignOf(number),
  sign: `${number}:open:${attempt}`,
  marker,
})

/** What the simulation plays for the scripts. */
function model(off: ReadonlySet<Guard>): Side<Request> {
  let calm = new CalmWorld(off)
  const ask = (request: Request) => {
    const { markers, redis } = calm
    if (request.do === 'flush') return calm.wait(Promise.resolve(redis.flush()))
    const { number, attempt } = request
    if (request.do !== 'operation') return calm.wait(markers[request.do](number, attempt))
    return calm.wait(fenced(calm, openedBy(number, attempt, 'marker'), off))
  }
  return {
    reset: async () => {
      calm = new CalmWorld(off)
    },
    ask,
    again: ask,
    look: async () => (await calm.wait(calm.markers.look())).marker,
  }
}

describe('Redis, as the simulation plays it', () => {
  let server: RedisServer
  let markers: RedisMarkers
  let real: Side<Request>
  beforeAll(async () => {
    server = await startRedis()
    markers = new RedisMarkers({
      address: parseAddress(server.url),
      commandTimeoutMs: 5000,
      connectTimeoutMs: 5000,
      reconnectMs: 100,
      probeMs: 100,
      ca: undefined,
      name: 'spillway:model',
    })
    markers.listenTo(EVERYBODY)
    const { client, markerKey = '' } = markers
    await client.ready(5000)
    const none = () => {
      throw new Error('every operation is given its reign')
    }
    const term = { reign: undefined, last: undefined, operate: none, onChange: none, join: none }
    const log = new RedisLog({
      redis: client,
      maxEvents: 10,
      silenceMs: 60_000,
      term,
      beginnings: beginAt(() => 0),
    })
    const flush = async () => void (await client.call('flushall'))
    const ask = (request: Request) => {
      if (request.do === 'flush') return flush()
      const { number, attempt } = request
      if (request.do !== 'operation') return markers[request.do](number, attempt)
      // Each in a flow of its own: a flow's own fence is another matter.
      return log.appendIn(openedBy(number, attempt, markerKey), numbered(someFlow(), 1), newBatch()).then(
        () => true,
        ({ code }: { readonly code?: unknown }) => (code === 'TERM_UNKNOWN' ? false : code),
      )
    }
    real = {
      reset: flush,
      ask,
      again: ask,
      look: async () => (await markers.look()).marker,
    }
  })
  afterAll(async () => {
    markers?.client.close()
    await server?.remove()
  })

  it('does what the scripts do on a real one', async () => {
    expect(await difference(REQUEST, model(new Set()), real, { runs: 40, length: 12 })).toBeUndefined()
  })

  it.each(['no carry-over into an open term', 'attempt', 'marker'] as const)(
    'is told apart from it without this guard: %s',
    async (guard) => {
      expect(
        await difference(REQUEST, model(new Set([guard])), real, { runs: 500, length: 12 }),
      ).toBeDefined()
    },
  )
})
