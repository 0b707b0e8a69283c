import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { check } from '../chaos/checker.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type Link, startLink } from '../support/faults/link.js'
import { copyAppendOnly } from '../support/faults/redis-faults.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reigns } from '../term/fleet.js'
import { Ledger, missing, type Node, startNode } from './nodes.js'

/** Published before, during and after; before and after; before alone, as far as the last word. */
const FLOWS = ['always', 'around', 'during']

describe('a Redis that fails comes back', () => {
  let database: FreshDatabase
  let redis: RedisServer
  let another: RedisServer
  let links: Link[]
  let nodes: Node[]
  let ledger: Ledger
  beforeEach(async () => {
    ledger = new Ledger()
    database = await freshDatabase()
    ;[redis, another] = await Promise.all([startRedis(), startRedis()])
    links = await Promise.all([startLink(redis.url), startLink(redis.url)])
    nodes = []
    for (const { url } of links) nodes.push(await startNode(`n${nodes.length}`, database.url, url))
  })
  afterEach(async () => {
    await ledger.stop()
    await Promise.all(nodes.map((node) => node.close()))
    await Promise.all(links.map((link) => link.close()))
    await Promise.all([redis.remove(), another.remove()])
    await database.drop()
  })

  const publish = async (...flows: readonly string[]) => {
    for (let i = 0; i < 3; i++)
      for (const flow of flows) for (const node of nodes) await ledger.publish(node, flow)
  }
  /** The file has what was acknowledged: what it had a moment ago is older by what comes next. */
  const written = () =>
    eventually(async () => /aof_pending_bio_fsync:0/.test(String(await redis.ask('INFO', 'persistence'))))
  const retarget = () => {
    for (const link of links) link.retarget(another.url)
  }

  it.each([
    { how: 'with its data', lost: 0, fail: async () => redis.kill(), mend: async () => redis.start('same') },
    { how: 'without data', lost: 12, fail: async () => redis.kill(), mend: async () => redis.start('empty') },
    {
      how: 'as another server, empty',
      lost: 12,
      fail: async () => redis.kill(),
      mend: async () => retarget(),
    },
    {
      how: 'as another server, with an older copy of its data',
      lost: 12,
      fail: async () => {
        await another.kill()
        copyAppendOnly(redis, another)
        await publish('always', 'around')
        await redis.kill()
      },
      mend: async () => {
        await another.start('same')
        retarget()
      },
    },
  ])(
    '$how: what PostgreSQL took is carried, what is lost is told, and no number is given twice',
    {
      timeout: 180_000,
    },
    async ({ fail, mend, lost }) => {
      const instances = nodes.map(({ instance }) => instance)
      const [a, b] = nodes as [Node, Node]
      const number = await reigns(instances, 'redis')
      for (const flow of FLOWS) for (const node of nodes) ledger.read(`${flow} all along`, node, flow)
      await publish('always', 'around')
      await written()
      await fail()
      const away = await reigns(instances, 'postgres', number)
      for (const flow of ['always', 'around'])
        ledger.read(`${flow} from PostgreSQL on`, a, flow, ledger.last(flow))
      await publish('always', 'during')
      const taken = ledger.last('always') as string
      for (const flow of FLOWS) ledger.read(`${flow} from its beginning, on PostgreSQL`, b, flow)
      await mend()
      await reigns(instances, 'redis', away)
      for (const flow of FLOWS) ledger.read(`${flow} from its beginning, after all`, a, flow)
      ledger.read('always from what PostgreSQL took last', b, 'always', taken)
      await publish(...FLOWS)
      const run = await ledger.close(b)
      expect(check(run)).toEqual([])
      expect(missing(run, 'during')).toEqual([])
      expect(missing(run, 'always').length).toBeLessThanOrEqual(lost)
    },
  )
})
