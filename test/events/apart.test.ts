import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.js'
import { Backbone } from '../../src/events/backbone.js'
import { Groups } from '../../src/events/groups.js'
import type { FlowEvent } from '../../src/index.js'
import { LockDesk } from '../../src/locks/desk.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { Tenant } from '../../src/spillway.js'
import { PostgresStates } from '../../src/state/postgres.js'
import { check, type GapSighting, type Run, type Sighting } from '../chaos/checker.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type Link, startLink } from '../support/faults/link.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type Instance, reigns, startInstance } from '../term/fleet.js'
import { type Reading, reading } from './readers.js'

const FLOWS = ['both', 'silent']

/** An instance whose term is quick, with the events of the product upon it. */
interface Node {
  readonly instance: Instance
  readonly tenant: Tenant
  close(): Promise<void>
}

async function startNode(name: string, postgresUrl: string, redisUrl: string): Promise<Node> {
  const instance = await startInstance(name, postgresUrl, redisUrl)
  const options = { url: postgresUrl, listenUrl: null, poolSize: 4, statementTimeoutMs: 500 }
  const database = new ServerDatabase(options)
  const config = readConfig({})
  const backbone = new Backbone({
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
  const desk = new LockDesk({ instanceId: 'node', term, database, redis: instance.redis.client })
  const parts = { states: new PostgresStates(database), groups: new Groups(database), limits: config }
  return {
    instance,
    tenant: new Tenant('acme', { log, appender: intake, live, desk, ...parts }),
    close: async () => {
      await desk.close()
      await intake.settled()
      await backbone.close()
      await instance.close()
      await database.close()
    },
  }
}

describe('an instance that PostgreSQL has not heard of for longer than any lease', () => {
  let database: FreshDatabase
  let redis: RedisServer
  let link: Link
  let apart: Node
  let others: Node[]
  let attempted: Map<string, Set<string>>
  let acknowledged: Map<string, Sighting[]>
  let readings: { reader: string; flow: string; after: string; reading: Reading }[]
  beforeEach(async () => {
    database = await freshDatabase()
    redis = await startRedis()
    link = await startLink(database.url)
    apart = await startNode('apart', link.url, redis.url)
    others = [await startNode('b', database.url, redis.url), await startNode('c', database.url, redis.url)]
    attempted = new Map(FLOWS.map((flow) => [flow, new Set()]))
    acknowledged = new Map(FLOWS.map((flow) => [flow, []]))
    readings = []
  })
  afterEach(async () => {
    await link.heal()
    await Promise.all(readings.map(({ reading }) => reading.stop()))
    await Promise.all([apart, ...others].map((node) => node.close()))
    await link.close()
    await redis.remove()
    await database.drop()
  })

  const controllers = (nodes: readonly Node[]) => nodes.map(({ instance }) => instance)
  let count = 0
  const publish = async (node: Node, flow: string) => {
    const key = `p:${count++}`
    attempted.get(flow)?.add(key)
    const { id } = await node.tenant.flow(flow, { durability: 'fast' }).publish('tick', { key }, { key })
    acknowledged.get(flow)?.push({ id, key })
    return id
  }
  const read = (reader: string, node: Node, flow: string, after = '0') => {
    const one = reading((signal) => node.tenant.flow(flow).subscribe({ after, signal }))
    readings.push({ reader, flow, after, reading: one })
    return one
  }
  const sightingOf = (event: FlowEvent): Sighting | GapSighting =>
    event.type === 'gap'
      ? { gap: event.payload as GapSighting['gap'] }
      : { id: event.id, key: (event.payload as { key: string }).key }

  it('P4: goes on alone, and whatever of that the others pass over is told', {
    timeout: 60_000,
  }, async () => {
    const all = [apart, ...others]
    const [b, c] = others as [Node, Node]
    const number = await reigns(controllers(all), 'redis')
    for (const flow of FLOWS) {
      for (const node of all) read(`at ${node === apart ? 'it' : 'another'}, ${flow}`, node, flow)
      for (const node of all) await publish(node, flow)
    }
    link.blackHole()
    await eventually(() => !apart.instance.controller.status.trusted, { what: 'its trust ends' })
    for (const flow of FLOWS) for (let i = 0; i < 5; i++) await publish(apart, flow)
    await eventually(() => b.instance.controller.status.fleet.length === 2, {
      what: 'it is forgotten',
      withinMs: 15_000,
    })
    b.instance.controller.ask('postgres', 'operator')
    await reigns(controllers(others), 'postgres', number)
    const last = new Map<string, string>()
    for (const flow of FLOWS) for (let i = 0; i < 5; i++) last.set(flow, await publish(apart, flow))
    for (let i = 0; i < 5; i++) await publish(c, 'both')
    // From it to the others and the other way round, in the middle of it.
    for (const flow of FLOWS) read(`from it to another, ${flow}`, b, flow, last.get(flow))
    read('from another to it, both', apart, 'both', acknowledged.get('both')?.at(-1)?.id)
    for (let i = 0; i < 5; i++) await publish(apart, 'silent')
    c.instance.controller.ask('redis', 'operator')
    const back = await reigns(controllers(others), 'redis', number + 1)
    for (const flow of FLOWS) await publish(b, flow)
    await link.heal()
    await reigns(controllers(all), 'redis', number + 1)
    for (const flow of FLOWS) for (const node of all) await publish(node, flow)

    const history = new Map<string, Sighting[]>()
    for (const flow of FLOWS) {
      const events: Sighting[] = []
      for (;;) {
        const page = await b.tenant.flow(flow).history({ after: events.at(-1)?.id ?? '0' })
        const found = page.filter(({ type }) => type !== 'gap')
        if (found.length === 0) break
        events.push(...(found.map(sightingOf) as Sighting[]))
      }
      history.set(flow, events)
    }
    for (const { reader, flow, reading: one } of readings) {
      const head = history.get(flow)?.at(-1)?.id
      await eventually(() => one.events.at(-1)?.id === head, { what: `the end for who reads ${reader}` })
    }
    const run: Run = {
      attempted,
      acknowledged,
      history,
      readings: readings.map(({ reading: { events }, ...one }) => ({ ...one, seen: events.map(sightingOf) })),
      fast: new Set(FLOWS),
    }
    expect(check(run)).toEqual([])
    expect(history.get('silent')?.length).toBe(attempted.get('silent')?.size)
    expect(back).toBe(number + 2)
  })
})
