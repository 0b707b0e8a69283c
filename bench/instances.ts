import { eventually } from '../test/support/eventually.js'
import { payload } from './load.js'
import { type Peer, startSpillway } from './peers.js'
import { Readers } from './readers.js'
import { type Claim, type Options, print, show } from './report.js'
import { type BothStores, startBoth } from './stores.js'

const BATCH = 100
/** Posts on their way to each instance. */
const POSTS = 4
const READERS = 1000
/** Events on their way at most while readers are measured. */
const WINDOW = 64

/** One to four server processes on the same stores: how publishing over HTTP and fan-out grow. A curve, no target. */
export const instances: Claim = {
  name: 'instances',
  says: '1 to 4 server processes: durable and fast publishing, 100 events a request, and fan-out to 1,000 readers',
  run: async (options) => {
    const stores = await startBoth()
    try {
      for (const count of options.quick ? [1, 2, 4] : [1, 2, 3, 4]) await measure(stores, count, options)
    } finally {
      await stores.remove()
    }
  },
}

async function measure({ database, redis }: BothStores, count: number, { quick }: Options): Promise<void> {
  await redis.ask('FLUSHALL')
  const env = { DATABASE_URL: (await database()).url, REDIS_URL: redis.url }
  const peers = await Promise.all(Array.from({ length: count }, () => startSpillway({ env })))
  const readers = new Readers()
  try {
    const ms = quick ? 1500 : 5000
    await Promise.all(peers.map(({ url }) => redisReigns(url)))
    const durable = await publishing(peers, 'durable', ms)
    const fast = await publishing(peers, 'fast', ms)
    await readers.open(
      READERS,
      peers.map(({ url }) => `${url}/v1/flows/fan/stream`),
    )
    const fan = await fanOut(peers, readers, ms)
    print(
      `${count} instance(s): durable ${show(durable).padStart(7)} events/s, fast ${show(fast).padStart(7)} events/s, ` +
        `fan-out ${show(fan).padStart(8)} deliveries/s`,
    )
  } finally {
    await readers.close()
    await Promise.all(peers.map((peer) => peer.stop()))
  }
}

async function publishing(
  peers: readonly Peer[],
  durability: 'durable' | 'fast',
  ms: number,
): Promise<number> {
  let sent = 0
  const run = async (until: number) => {
    sent = 0
    await Promise.all(
      peers.flatMap(({ url }, peer) =>
        Array.from({ length: POSTS }, async (_, lane) => {
          for (let i = 0; performance.now() < until; i++) {
            await post(
              `${url}/v1/flows/${durability}-${peer}-${lane}-${i % 50}/events?durability=${durability}`,
              i,
            )
            sent += BATCH
          }
        }),
      ),
    )
  }
  await run(performance.now() + ms / 3)
  const started = performance.now()
  await run(started + ms)
  return sent / ((performance.now() - started) / 1000)
}

async function fanOut(peers: readonly Peer[], readers: Readers, ms: number): Promise<number> {
  const run = async (time: number) => {
    readers.reset()
    const started = performance.now()
    let sent = 0
    while (performance.now() - started < time) {
      const peer = peers[(sent / (WINDOW / 4)) % peers.length]
      await post(`${peer?.url}/v1/flows/fan/events`, sent, WINDOW / 4)
      sent += WINDOW / 4
      await readers.until((sent - (WINDOW * 3) / 4) * READERS)
    }
    await readers.until(sent * READERS)
    return (sent * READERS) / ((performance.now() - started) / 1000)
  }
  await run(ms / 3)
  return run(ms)
}

async function post(url: string, from: number, count = BATCH): Promise<void> {
  const events = Array.from({ length: count }, (_, n) => ({
    type: 'progress',
    payload: payload(from * BATCH + n),
    source: 'bench',
  }))
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(events),
  })
  if (answer.status !== 201) throw new Error(`publish answered ${answer.status}: ${await answer.text()}`)
  await answer.arrayBuffer()
}

function redisReigns(url: string): Promise<unknown> {
  const trusts = async () => {
    const answer = await fetch(`${url}/readyz`)
    return answer.status === 200 && /"store":"redis"/.test(await answer.text())
  }
  return eventually(trusts, { withinMs: 60_000, everyMs: 50, what: `the reign of Redis at ${url}` })
}
