import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parseAddress } from '../../src/redis/address.js'
import { AloneTerm } from '../../src/term/alone.js'
import { TERMS_SINCE_S } from '../../src/term/marker.js'
import type { TermStep } from '../../src/term/ports.js'
import { eventually } from '../support/eventually.js'
import { startLink } from '../support/faults/link.js'
import { redisKilled } from '../support/faults/redis-faults.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { startRedisCluster } from '../support/redis-cluster.js'
import { startRedisSentinel } from '../support/redis-sentinel.js'
import { QUICK } from './fleet.js'

interface One {
  readonly term: AloneTerm
  readonly steps: TermStep[]
}

function open(url: string): One {
  const steps: TermStep[] = []
  const term = new AloneTerm({
    name: 'test',
    timing: QUICK,
    onStep: (step) => steps.push(step),
    settings: {
      address: parseAddress(url),
      commandTimeoutMs: 400,
      connectTimeoutMs: 200,
      reconnectMs: 100,
      probeMs: 100,
      ca: undefined,
      name: 'spillway:test',
    },
  })
  return { term, steps }
}

/** The number that all are in, once it is beyond that and all can use the Redis that it is of. */
async function agreed(all: readonly One[], beyond = 0): Promise<number> {
  return eventually(
    () => {
      const numbers = all.map(({ term }) => (term.client.usable ? (term.reign?.number ?? 0) : 0))
      const [first = 0] = numbers
      return first > beyond && numbers.every((number) => number === first) && first
    },
    { what: `a term beyond ${beyond}`, withinMs: 15_000 },
  ) as Promise<number>
}

describe('the term where Redis is the only store', () => {
  let server: RedisServer
  let fleet: One[]
  beforeAll(async () => {
    server = await startRedis({ appendfsync: 'always' })
  })
  afterAll(() => server.remove())
  beforeEach(async () => {
    await server.start('same')
    await server.ask('FLUSHALL')
    fleet = [open(server.url), open(server.url), open(server.url)]
    await Promise.all(fleet.map(({ term }) => term.start(5000)))
  })
  afterEach(() => {
    for (const { term } of fleet) term.close()
  })
  const join = async (): Promise<One> => {
    const one = open(server.url)
    fleet.push(one)
    await one.term.start(5000)
    return one
  }

  it('is one for all who begin at once, in every bucket, and counts the seconds', async () => {
    const number = await agreed(fleet)
    const texts = await Promise.all(
      Array.from({ length: 64 }, (_, i) => server.ask('GET', `term:marker:{b${String(i).padStart(2, '0')}}`)),
    )
    expect(new Set(texts)).toEqual(new Set([fleet[0]?.term.last?.sign]))
    const seconds = Date.now() / 1000 - TERMS_SINCE_S
    expect(Math.abs(number - seconds)).toBeLessThan(60)
  })

  it('is taken over by who comes later, and by who comes again', async () => {
    const number = await agreed(fleet)
    const late = await join()
    expect(late.term.reign?.number).toBe(number)
    for (const { term } of fleet.splice(0)) term.close()
    expect((await join()).term.reign?.number).toBe(number)
  })

  it.each([
    ['was emptied', async () => void (await server.ask('FLUSHALL'))],
    [
      'was restarted empty',
      async () => {
        await server.kill()
        await server.start('empty')
      },
    ],
    [
      'was restarted with its data',
      async () => {
        await server.kill()
        await server.start('same')
      },
    ],
    [
      'was restarted with older data',
      async () => {
        const older = redisKilled(server, 'older', async () => {
          const before = await agreed(fleet)
          await server.ask('FLUSHALL')
          await agreed(fleet, before)
        })
        await older.begin()
        await older.end()
      },
    ],
    ['has lost one bucket', async () => void (await server.ask('DEL', 'term:marker:{b17}'))],
    [
      'has another term in one bucket',
      async () => void (await server.ask('SET', 'term:marker:{b17}', '1:open:x')),
    ],
    ['has markers of a fleet with PostgreSQL', () => setMarkers(server, '7:open:6ba7b810')],
  ])('begins anew, and later, on a Redis that %s', async (_, happen) => {
    const before = await agreed(fleet)
    await happen()
    const after = await agreed(fleet, before)
    // Nobody takes part in two, and nobody goes back.
    for (const { steps } of fleet) {
      const numbers = steps.map(({ number }) => number)
      expect(numbers).toEqual([...new Set(numbers)].sort((x, y) => x - y))
    }
    await expect((async () => (fleet[0] as One).term.operate(async ({ number }) => number))()).resolves.toBe(
      after,
    )
  })

  it('grows also where the clock of the store is behind it', async () => {
    await agreed(fleet)
    await setMarkers(server, '900000000:open:ahead')
    const ahead = await agreed(fleet, 900_000_000)
    // Only the instances remember.
    await server.ask('FLUSHALL')
    expect(await agreed(fleet, ahead)).toBe(ahead + 1)
  })

  it('goes on from the latest that anybody has seen where earlier markers come back', async () => {
    const first = await agreed(fleet)
    const { sign } = (fleet[0] as One).term.last ?? { sign: '' }
    await server.ask('FLUSHALL')
    const second = await agreed(fleet, first)
    await setMarkers(server, sign)
    expect(await agreed(fleet, second)).toBeGreaterThan(second)
  })

  it('is found by who loses its connection while it looks for it', async () => {
    const number = await agreed(fleet)
    let losses = 3
    const link = await startLink(server.url, () => (way, chunk, cut) => {
      if (way === 'reply' || !chunk.includes('term:marker') || losses === 0) return true
      losses -= 1
      cut()
      return false
    })
    const late = open(link.url)
    fleet.push(late)
    try {
      await late.term.start(5000)
      expect([late.term.reign?.number, losses]).toEqual([number, 0])
    } finally {
      late.term.close()
      await link.close()
    }
  })

  it('is not begun again by a server that only stood still', async () => {
    const number = await agreed(fleet)
    server.freeze()
    await eventually(() => fleet.every(({ term }) => term.reign === undefined), { what: 'all notice' })
    server.thaw()
    expect(await agreed(fleet)).toBe(number)
    expect(fleet.map(({ steps }) => steps.at(-1)?.number)).toEqual([number, number, number])
  })

  it('is begun by the next one where somebody died on the way through the buckets', async () => {
    const before = await agreed(fleet)
    for (const { term } of fleet.splice(0)) term.close()
    const [half] = [String(await server.ask('GET', 'term:marker:{b00}'))]
    await server.ask('FLUSHALL')
    const begun = half.replace(/^\d+/, String(before + 5))
    await server.ask('SET', 'term:marker:{b00}', begun)
    expect((await join()).term.reign?.number).toBe(before + 6)
  })

  it('lets no answer count that comes after its end', async () => {
    const number = await agreed(fleet)
    const [{ term }] = fleet as [One]
    let release: () => void = () => undefined
    const hanging = term.operate(() => new Promise<void>((resolve) => (release = resolve)))
    await server.ask('FLUSHALL')
    await agreed(fleet, number)
    release()
    await expect(hanging).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  })

  it('keeps capabilities off a server that was restarted with the marker of the old term', async () => {
    const number = await agreed(fleet)
    const [{ term }] = fleet as [One]
    const key = 'flow:events:{a:b}'
    // Whoever reaches the restarted server under the old sign finds that sign in it.
    const used: number[] = []
    let stopped = false
    const trying = (async () => {
      while (!stopped) {
        const known = term.last?.number ?? 0
        const there = await term.client.call('get', 'term:marker:{b00}').catch(() => undefined)
        if (typeof there === 'string' && there.startsWith(`${number}:`) && known === number)
          used.push(Number(await term.client.call('exists', key).catch(() => -1)))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    await server.ask('XADD', key, '1-1', 'f', 'v')
    await eventually(() => used.includes(1))
    await server.kill()
    used.length = 0
    await server.start('same')
    await server.ask('DEL', key)
    await agreed(fleet, number)
    stopped = true
    await trying
    expect(used).toEqual([])
  })

  it('has a quarantine after its beginning, and only as long as leases', async () => {
    await agreed(fleet)
    const [{ term }] = fleet as [One]
    expect(term.reign?.quarantined).toBe(true)
    await eventually(() => term.reign?.quarantined === false, { what: 'its end' })
    // Who comes later knows from the marker how long ago that was.
    expect((await join()).term.reign?.quarantined).toBe(false)
    await server.ask('FLUSHALL')
    await eventually(() => term.reign?.quarantined === true, { what: 'another one' })
  })
})

describe('the term of a Redis of several servers', () => {
  it('begins anew when Sentinels promote another master', async () => {
    const set = await startRedisSentinel()
    const fleet = [open(set.url), open(set.url)]
    try {
      await Promise.all(fleet.map(({ term }) => term.start(10_000)))
      const number = await agreed(fleet)
      // A sentinel that has just begun may not know the replica well enough yet.
      await eventually(() => set.failover().then(() => true), { what: 'a failover', withinMs: 20_000 })
      expect(await agreed(fleet, number)).toBeGreaterThan(number)
    } finally {
      for (const { term } of fleet) term.close()
      await set.remove()
    }
  })

  it('begins anew when one server of a Cluster has lost its part', async () => {
    const set = await startRedisCluster()
    const fleet = [open(set.url), open(set.url)]
    try {
      await Promise.all(fleet.map(({ term }) => term.start(10_000)))
      const number = await agreed(fleet)
      expect(fleet[0]?.term.reign?.marker).toBe('')
      await set.servers[1]?.ask('FLUSHALL')
      expect(await agreed(fleet, number)).toBeGreaterThan(number)
    } finally {
      for (const { term } of fleet) term.close()
      await set.remove()
    }
  })
})

/** In one step: what lies between would be a reason of its own. */
async function setMarkers(server: RedisServer, text: string): Promise<void> {
  const names = Array.from({ length: 64 }, (_, i) => `term:marker:{b${String(i).padStart(2, '0')}}`)
  await server.ask('MSET', ...names.flatMap((name) => [name, text]))
}
