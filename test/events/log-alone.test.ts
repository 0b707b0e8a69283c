import { readConfig } from '../../src/config.js'
import { Appender } from '../../src/events/appender.js'
import { ByTheClock } from '../../src/events/beginnings.js'
import { RedisLog } from '../../src/events/redis.js'
import { RedisBackbone } from '../../src/events/redis-backbone.js'
import { parseAddress } from '../../src/redis/address.js'
import { AloneTerm } from '../../src/term/alone.js'
import { TIMING } from '../../src/term/timing.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { flowsConformance, logConformance } from './log.conformance.js'
import { type LogStore, stillStore } from './log-store.js'

/** An instance's part in the term; pages of megabytes take their time beside other tests. */
async function join(url: string): Promise<AloneTerm> {
  const term = new AloneTerm({
    name: 'test',
    // Nothing but the appends themselves asks here: a look may come late beside other tests.
    timing: { ...TIMING, probeMs: 100, trustMs: 30_000 },
    settings: {
      address: parseAddress(url),
      commandTimeoutMs: 5000,
      connectTimeoutMs: 1000,
      reconnectMs: 100,
      probeMs: 100,
      ca: undefined,
      name: 'spillway:test',
    },
  })
  await term.start(10_000)
  return term
}

const logOn = (term: AloneTerm) =>
  new RedisLog({
    redis: term.client,
    term,
    maxEvents: 10_000,
    silenceMs: 1e9,
    beginnings: new ByTheClock(),
  })

for (const [kind, start] of Object.entries(REDIS_KINDS)) {
  logConformance(`Redis (${kind}) alone`, async () => {
    const set = await start()
    const term = await join(set.url)
    const log = logOn(term)
    const close = async () => {
      term.close()
      await set.remove()
    }
    // Numbers begin wherever the clock is.
    return { ...stillStore(log, 'fast', close), leaps: true, log }
  })
}

flowsConformance('flows on a Redis alone that is restarted again and again with all its data', async () => {
  const server = await startRedis({ appendfsync: 'always' })
  const [writer, reader] = await Promise.all([join(server.url), join(server.url)])
  const restarts = new Restarts(server, [writer, reader])
  // Its way in gives up after a short time-out; what is shown here is that nothing goes by the board meanwhile.
  const appender = new Appender(logOn(writer), { parallel: 4, batchEvents: 250, deadlineMs: 20_000 })
  const backbone = new RedisBackbone({
    config: readConfig({}),
    term: reader,
    redis: reader.client,
    onActive: () => undefined,
  })
  const store: LogStore = {
    log: backbone.log,
    durability: 'fast',
    leaps: true,
    // By the clock: a restart takes some milliseconds, and each has a thousand numbers.
    leastLeap: 1000,
    append: (drafts) => byFlow(drafts, (own) => restarts.between(() => appender.append(own))),
    happening: () => restarts.once(),
    quietly: (body) => body(),
    close: async () => {
      await backbone.close()
      writer.close()
      reader.close()
      await server.remove()
    },
  }
  return store
})

/** Restarts a Redis that is the only store; every restart begins a term. */
class Restarts {
  readonly #server: RedisServer
  readonly #fleet: readonly AloneTerm[]
  #after: Promise<unknown> = Promise.resolve()

  constructor(server: RedisServer, fleet: readonly AloneTerm[]) {
    this.#server = server
    this.#fleet = fleet
  }

  /** A batch whose answer a restart takes away is nobody's to promise. */
  between<T>(body: () => Promise<T>): Promise<T> {
    return this.#after.then(body)
  }

  once(): Promise<void> {
    const restarted = this.#after.then(() => this.#restart())
    this.#after = restarted
    return restarted
  }

  async #restart(): Promise<void> {
    const before = Math.max(...this.#fleet.map(({ reign }) => reign?.number ?? 0))
    await this.#server.stop()
    await this.#server.start('same')
    await eventually(
      () => this.#fleet.every(({ reign, client }) => client.usable && (reign?.number ?? 0) > before),
      { what: 'the next term', withinMs: 15_000 },
    )
  }
}

/** Each flow by itself, as users publish; answers in the order of the drafts. */
async function byFlow(
  drafts: Parameters<LogStore['append']>[0],
  append: LogStore['append'],
): ReturnType<LogStore['append']> {
  const places = new Map<string, number[]>()
  drafts.forEach(({ tenant, flow }, i) => {
    const name = JSON.stringify([tenant, flow])
    places.set(name, [...(places.get(name) ?? []), i])
  })
  const outcomes: Awaited<ReturnType<LogStore['append']>>[number][] = new Array(drafts.length)
  await Promise.all(
    [...places.values()].map(async (own) => {
      const answers = await append(own.map((i) => drafts[i] as (typeof drafts)[number]))
      own.forEach((place, i) => {
        outcomes[place] = answers[i] as (typeof outcomes)[number]
      })
    }),
  )
  return outcomes
}
