import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { check } from '../chaos/checker.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type Link, startLink } from '../support/faults/link.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reigns } from '../term/fleet.js'
import { Ledger, missing, type Node, startNode } from './nodes.js'

const FLOWS = ['both', 'silent']

describe('an instance that PostgreSQL has not heard of for longer than any lease', () => {
  let database: FreshDatabase
  let redis: RedisServer
  let link: Link
  let apart: Node
  let others: Node[]
  let ledger: Ledger
  beforeEach(async () => {
    ledger = new Ledger()
    database = await freshDatabase()
    redis = await startRedis()
    link = await startLink(database.url)
    apart = await startNode('apart', link.url, redis.url)
    others = [await startNode('b', database.url, redis.url), await startNode('c', database.url, redis.url)]
  })
  afterEach(async () => {
    await link.heal()
    await ledger.stop()
    await Promise.all([apart, ...others].map((node) => node.close()))
    await link.close()
    await redis.remove()
    await database.drop()
  })

  const instances = (nodes: readonly Node[]) => nodes.map(({ instance }) => instance)
  const times = async (count: number, node: Node, flow: string) => {
    for (let i = 0; i < count; i++) await ledger.publish(node, flow)
  }

  it('P4: goes on alone, and whatever of that the others pass over is told', {
    timeout: 180_000,
  }, async () => {
    const all = [apart, ...others]
    const [b, c] = others as [Node, Node]
    const number = await reigns(instances(all), 'redis')
    for (const flow of FLOWS) {
      for (const node of all) ledger.read(`at ${node === apart ? 'it' : 'another'}, ${flow}`, node, flow)
      for (const node of all) await ledger.publish(node, flow)
    }
    link.blackHole()
    await eventually(() => !apart.instance.controller.status.trusted, { what: 'its trust ends' })
    for (const flow of FLOWS) await times(5, apart, flow)
    await eventually(() => b.instance.controller.status.fleet.length === 2, {
      what: 'it is forgotten',
      withinMs: 15_000,
    })
    b.instance.controller.ask('postgres', 'operator')
    await reigns(instances(others), 'postgres', number)
    for (const flow of FLOWS) await times(5, apart, flow)
    // From it to the others and the other way round, in the middle of it.
    for (const flow of FLOWS) ledger.read(`from it to another, ${flow}`, b, flow, ledger.last(flow))
    await times(5, c, 'both')
    ledger.read('from another to it, both', apart, 'both', ledger.last('both'))
    await times(5, apart, 'silent')
    c.instance.controller.ask('redis', 'operator')
    await reigns(instances(others), 'redis', number + 1)
    for (const flow of FLOWS) await ledger.publish(b, flow)
    await link.heal()
    await reigns(instances(all), 'redis', number + 1)
    for (const flow of FLOWS) for (const node of all) await ledger.publish(node, flow)

    const run = await ledger.close(b)
    expect(check(run)).toEqual([])
    expect(missing(run, 'silent')).toEqual([])
  })
})
