import { readConfig } from '../../src/config.js'
import { PostgresBackbone } from '../../src/events/backbone.js'
import { PostgresGroups } from '../../src/events/postgres-groups.js'
import { type FlowEvent, SpillwayError } from '../../src/index.js'
import { Limiter } from '../../src/limits/limiter.js'
import { LimitScopes } from '../../src/limits/rate-limits.js'
import { LockDesk } from '../../src/locks/desk.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { Tenant } from '../../src/spillway.js'
import { PostgresStates } from '../../src/state/postgres.js'
import type { GapSighting, Reading, Run, Sighting } from '../chaos/checker.js'
import { eventually } from '../support/eventually.js'
import { type Instance, startInstance } from '../term/fleet.js'
import { reading, type Reading as Subscribed } from './readers.js'

const REPEATED = /^(?:TERM_UNKNOWN|OUTCOME_UNKNOWN|STORE_UNAVAILABLE)$/

/** An instance whose term is quick, with the events of the product upon it. */
export interface Node {
  readonly instance: Instance
  readonly tenant: Tenant
  close(): Promise<void>
}

export async function startNode(name: string, postgresUrl: string, redisUrl: string): Promise<Node> {
  const instance = await startInstance(name, postgresUrl, redisUrl)
  const options = { url: postgresUrl, listenUrl: null, poolSize: 4, statementTimeoutMs: 500 }
  const database = new ServerDatabase(options)
  const config = readConfig({})
  const backbone = new PostgresBackbone({
    config,
    database,
    term: instance.controller,
    redis: instance.redis.client,
    onStored: () => undefined,
    onActive: () => undefined,
  })
  await backbone.start()
  const { log, intake, live } = backbone
  const term = instance.controller
  const limiter = new Limiter({ database, redis: undefined, term, timeoutMs: 300, instances: () => 1 })
  const parts = {
    states: new PostgresStates(database),
    groups: new PostgresGroups(database),
    desk: new LockDesk({ instanceId: name, term, database, redis: undefined }),
    limits: config,
    rates: new LimitScopes(limiter),
  }
  return {
    instance,
    tenant: new Tenant('acme', { log, appender: intake, live, ...parts }),
    close: async () => {
      await intake.settled()
      await limiter.close()
      await backbone.close()
      await instance.close()
      await database.close()
    },
  }
}

/** What is published to fast flows through nodes, and what their readers see: for the checker of the chaos. */
export class Ledger {
  readonly #attempted = new Map<string, Set<string>>()
  readonly #acknowledged = new Map<string, Sighting[]>()
  readonly #readings: { reading: Omit<Reading, 'seen'>; subscribed: Subscribed }[] = []
  readonly #repeated = new Set<string>()
  #count = 0

  /** Publishes an event until it is acknowledged: on a busy machine a term may end of itself. */
  async publish(node: Node, flow: string): Promise<void> {
    const key = `p:${this.#count++}`
    of(this.#attempted, flow, () => new Set<string>()).add(key)
    const publish = () => node.tenant.flow(flow, { durability: 'fast' }).publish('tick', { key }, { key })
    for (;;) {
      try {
        const { id } = await publish()
        of(this.#acknowledged, flow, () => []).push({ id, key })
        return
      } catch (error) {
        if (!(error instanceof SpillwayError && REPEATED.test(error.code))) throw error
        if (error.code !== 'TERM_UNKNOWN') this.#repeated.add(key)
      }
    }
  }

  /** Reads from a cursor until the end. */
  read(reader: string, node: Node, flow: string, after = '0'): void {
    const subscribed = reading((signal) => node.tenant.flow(flow).subscribe({ after, signal }))
    this.#readings.push({ reading: { reader, flow, after }, subscribed })
  }

  /** The id that was acknowledged last. */
  last(flow: string): string | undefined {
    return this.#acknowledged.get(flow)?.at(-1)?.id
  }

  /** Waits until every reader has the log's end, which must have come. */
  async close(node: Node): Promise<Run> {
    const history = new Map<string, Sighting[]>()
    for (const flow of this.#attempted.keys()) history.set(flow, await historyOf(node, flow))
    for (const { reading, subscribed } of this.#readings) {
      const head = history.get(reading.flow)?.at(-1)?.id
      await eventually(() => subscribed.events.at(-1)?.id === head, {
        what: `the end for who reads ${reading.reader}`,
      })
    }
    return {
      attempted: this.#attempted,
      acknowledged: this.#acknowledged,
      history,
      readings: this.#readings.map(({ reading, subscribed }) => ({
        ...reading,
        seen: subscribed.events.map(sightingOf),
      })),
      fast: new Set(this.#attempted.keys()),
      repeated: this.#repeated,
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#readings.map(({ subscribed }) => subscribed.stop()))
  }
}

async function historyOf(node: Node, flow: string): Promise<Sighting[]> {
  const events: FlowEvent[] = []
  for (;;) {
    const page = await node.tenant.flow(flow).history({ after: events.at(-1)?.id ?? '0' })
    const found = page.filter(({ type }) => type !== 'gap')
    if (found.length === 0) return events.map(eventOf)
    events.push(...found)
  }
}

function sightingOf(event: FlowEvent): Sighting | GapSighting {
  return event.type === 'gap' ? { gap: event.payload as GapSighting['gap'] } : eventOf(event)
}

function eventOf({ id, payload }: FlowEvent): Sighting {
  return { id, key: (payload as { key: string }).key }
}

/** Events that were published to a flow and are not in its log any more. */
export function missing({ attempted, history }: Run, flow: string): string[] {
  const kept = new Set(history.get(flow)?.map(({ key }) => key))
  return [...(attempted.get(flow) ?? [])].filter((key) => !kept.has(key))
}

function of<T>(map: Map<string, T>, key: string, make: () => T): T {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}
