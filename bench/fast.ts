import { Redis } from 'ioredis'
import { Spillway } from 'spillway'
import { LEAP } from '../src/events/kinds.js'
import { BUCKETS, key } from '../src/redis/keys.js'
import { loadScript } from '../src/redis/scripts.js'
import { load, payload } from './load.js'
import { type Claim, type Contestant, claim, compare, type Options, print, show } from './report.js'
import { reigns, startBoth } from './stores.js'

const PUBLISHERS = 256
const FLOWS = 1000
const MANY = 100
/** Kept in a flow: what is trimmed costs both sides the same, and the memory stays within bounds. */
const KEPT = 500
const SILENCE_MS = 7 * 86_400_000

/**
 * 256 callers each publish one fast event of 300 bytes after the other, to 1,000 flows in turn, or 100 of them at
 * once. The bare contestant gives Redis the same script with the same arguments over one connection of the same
 * driver, with auto-pipelining, and does nothing with the answer.
 */
export const fast: Claim = {
  name: 'fast',
  says: 'fast publish: ≥ 0.8 × a bare ioredis call of the same script; 100 at once: ≥ 3 × that call',
  run: async (options) => {
    const stores = await startBoth()
    const spillway = await Spillway.open({
      postgres: (await stores.database()).url,
      redis: stores.redis.url,
      config: { retentionEvents: KEPT, retentionAgeMs: SILENCE_MS },
    })
    const redis = new Redis(stores.redis.url, { enableAutoPipelining: true })
    try {
      const reign = await reigns(spillway, 'redis')
      await measure(spillway, await bareAppend(redis, reign), options)
    } finally {
      await spillway.close()
      redis.disconnect()
      await stores.remove()
    }
  },
}

type Append = (flow: number, from: number, events: number) => Promise<unknown>

/** The call that `RedisLog` makes, with what does not change prepared. */
async function bareAppend(redis: Redis, reign: number): Promise<Append> {
  const script = loadScript(new URL('../src/events/', import.meta.url).href, 'fast-append.lua')
  await redis.script('LOAD', script.lua)
  const marker = key('term:marker', { bucket: BUCKETS[0] ?? '' })
  const sign = await redis.get(marker)
  if (sign === null) throw new Error('there is no marker of the term')
  const keysOf = Array.from({ length: FLOWS }, (_, i) => {
    const ref = { tenant: 'bare', flow: `flow-${i}` }
    const keys = [key('flow:events', ref), key('flow:log', ref), key('flow:keys', ref)]
    return { keys, channel: key('flow:updates', ref) }
  })
  return async (flow, from, events) => {
    const { keys, channel } = keysOf[flow] ?? { keys: [], channel: '' }
    const place = [marker, sign, reign, 0, 0, 'first', '', LEAP, KEPT, SILENCE_MS]
    const fixed = [...place, 'PUBLISH', channel, 'bench', 0]
    const said: string[] = []
    for (let i = from; i < from + events; i++) said.push('progress', 'bench', JSON.stringify(payload(i)), '')
    const answer = await redis.evalsha(script.sha, keys.length, ...keys, ...fixed, ...said)
    if (!Array.isArray(answer) || answer.length !== events + 1) throw new Error(`Redis answered ${answer}`)
  }
}

async function measure(spillway: Spillway, bare: Append, { quick }: Options): Promise<void> {
  const tenant = spillway.tenant('bench')
  const flows = Array.from({ length: FLOWS }, (_, i) => tenant.flow(`flow-${i}`, { durability: 'fast' }))
  const one = (flow: number, i: number) =>
    flows[flow]?.publish('progress', payload(i), { source: 'bench' }) ?? Promise.reject()
  const many = (flow: number, i: number) => {
    const events = Array.from({ length: MANY }, (_, n) => ({
      type: 'progress',
      payload: payload(i * MANY + n),
      source: 'bench',
    }))
    return flows[flow]?.publishMany(events) ?? Promise.reject()
  }
  const timed = (
    name: string,
    events: number,
    call: (flow: number, i: number) => Promise<unknown>,
  ): Contestant => ({
    name,
    round: async () =>
      events * (await load({ publishers: PUBLISHERS, flows: FLOWS, ms: quick ? 1000 : 3000 }, call)),
  })
  // Flows that nobody knows are made known to PostgreSQL first: not what is measured.
  for (let i = 0; i < FLOWS; i += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, n) => Promise.all([one(i + n, 0), bare(i + n, 0, 1)])))
  }
  const [own = 0, call = 1, ownMany = 0, callMany = 1] = await compare(
    [
      timed('Spillway', 1, one),
      timed('bare call', 1, (flow, i) => bare(flow, i, 1)),
      timed(`Spillway, ${MANY} at once`, MANY, many),
      timed(`bare call, ${MANY} at once`, MANY, (flow, i) => bare(flow, i * MANY, MANY)),
    ],
    { rounds: quick ? 2 : 5, unit: 'events/s' },
  )
  claim('Spillway / bare call', own / call, { atLeast: 0.8 })
  claim(`Spillway, ${MANY} at once / bare call`, ownMany / call, { atLeast: 3 })
  print(`       Spillway, ${MANY} at once / bare call, ${MANY} at once: ${show(ownMany / callMany)}`)
}
