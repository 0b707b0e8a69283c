import { Spillway } from 'spillway'
import { load, payload } from './load.js'
import { pace } from './pace.js'
import { startSpillway } from './peers.js'
import { Readers } from './readers.js'
import {
  type Claim,
  type Contestant,
  claim,
  compare,
  type Options,
  percentile,
  print,
  show,
} from './report.js'
import { type BothStores, reigns, startBoth } from './stores.js'

const PUBLISHERS = 256
const FLOWS = 1000

/**
 * Durable publishing as bench/publish loads it, once with Redis beside PostgreSQL and once without. Then this process
 * publishes 1,000 events a second and reads them from a server process over HTTP: one clock, from before the call to
 * the bytes at the socket.
 */
export const full: Claim = {
  name: 'full',
  says: 'durable publish in full mode ≥ 0.85 × PostgreSQL mode; to receipt on another process at 1,000/s: p50 ≤ 5 ms',
  run: async (options) => {
    const stores = await startBoth()
    try {
      await publishing(stores, options)
      await receipt(stores, 'durable', options)
      await receipt(stores, 'fast', options)
    } finally {
      await stores.remove()
    }
  },
}

async function publishing({ database, redis }: BothStores, { quick }: Options): Promise<void> {
  const postgres = (await database()).url
  const both = await Spillway.open({ postgres, redis: redis.url })
  const alone = await Spillway.open({ postgres: (await database()).url })
  const reader = await startSpillway({ env: { DATABASE_URL: postgres, REDIS_URL: redis.url } })
  const readers = new Readers()
  const contestant = (name: string, spillway: Spillway, prefix: string): Contestant => {
    const flows = Array.from({ length: FLOWS }, (_, i) => spillway.tenant('default').flow(`${prefix}-${i}`))
    const publish = (flow: number, i: number) =>
      flows[flow]?.publish('progress', payload(i), { source: 'bench' }) ?? Promise.reject()
    const ms = quick ? 1000 : 4000
    return { name, round: () => load({ publishers: PUBLISHERS, flows: FLOWS, ms }, publish) }
  }
  try {
    await reigns(both, 'redis')
    await readers.open(
      FLOWS,
      Array.from({ length: FLOWS }, (_, i) => `${reader.url}/v1/flows/watched-${i}/stream`),
    )
    const [own = 0, watched = 0, without = 1] = await compare(
      [
        contestant('full mode', both, 'flow'),
        contestant('full mode, each flow read on another process', both, 'watched'),
        contestant('PostgreSQL mode', alone, 'flow'),
      ],
      { rounds: quick ? 3 : 7, unit: 'events/s' },
    )
    claim('full mode / PostgreSQL mode', own / without, { atLeast: 0.85 })
    print(`       full mode, each flow read / PostgreSQL mode, none read: ${show(watched / without)}`)
  } finally {
    await readers.close()
    await Promise.all([both.close(), alone.close(), reader.stop()])
  }
}

const PER_SECOND = 1000
const WATCHED = 50

async function receipt(
  { database, redis }: BothStores,
  durability: 'durable' | 'fast',
  { quick }: Options,
): Promise<void> {
  const postgres = (await database()).url
  const spillway = await Spillway.open({ postgres, redis: redis.url })
  const reader = await startSpillway({ env: { DATABASE_URL: postgres, REDIS_URL: redis.url } })
  const readers = new Readers()
  try {
    await reigns(spillway, 'redis')
    const names = Array.from({ length: WATCHED }, (_, i) => `${durability}-${i}`)
    const flows = names.map((name) => spillway.tenant('default').flow(name, { durability }))
    await Promise.all(flows.map((flow) => flow.publish('progress', { sent: 0 })))
    await readers.open(
      WATCHED,
      names.map((name) => `${reader.url}/v1/flows/${name}/stream`),
    )
    const taken: number[] = []
    const stored: number[] = []
    readers.look(1, (chunk) => {
      const now = performance.now()
      for (let at = chunk.indexOf('"sent":'); at >= 0; at = chunk.indexOf('"sent":', at + 7)) {
        taken.push(now - Number.parseFloat(chunk.toString('latin1', at + 7, at + 25)))
      }
    })
    const run = async (ms: number) => {
      readers.reset()
      taken.length = 0
      stored.length = 0
      let published = 0
      await pace(
        PER_SECOND,
        (elapsed) => elapsed < ms,
        async (i) => {
          const sent = performance.now()
          published += 1
          await flows[i % WATCHED]?.publish('progress', { sent })
          stored.push(performance.now() - sent)
        },
      )
      await readers.until(published)
    }
    await run(2000)
    await run(quick ? 3000 : 15_000)
    const p = (percent: number) => percentile(taken, percent)
    print(
      `${durability}, ${PER_SECOND}/s in ${WATCHED} flows: p50 ${show(p(50))} ms, p90 ${show(p(90))} ms, ` +
        `p99 ${show(p(99))} ms, max ${show(p(100))} ms (${taken.length} receipts); ` +
        `stored after p50 ${show(percentile(stored, 50))} ms, p99 ${show(percentile(stored, 99))} ms`,
    )
    claim(`p50 in ms from publish to receipt, ${durability}`, p(50), { atMost: 5 })
  } finally {
    await readers.close()
    await Promise.all([spillway.close(), reader.stop()])
  }
}
