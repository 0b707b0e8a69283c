import { expect, it } from 'vitest'
import { type FlowEvent, Spillway } from '../../src/index.js'
import { key } from '../../src/redis/keys.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { startRedis } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { groupsConformance } from './groups.conformance.js'

groupsConformance('processors of a group that PostgreSQL keeps', async () => {
  const fresh = await freshDatabase()
  const spillways: Spillway[] = []
  return {
    open: async () => {
      const spillway = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4, backstopMs: 50 } })
      spillways.push(spillway)
      return spillway
    },
    takeAway: async ({ name }) => {
      await spillways[0]?.database.scoped('all', (tx) =>
        tx.query(`UPDATE spillway.flow_groups SET owner = NULL WHERE flow = $1`, [name]),
      )
    },
    close: () => fresh.drop(),
  }
})

for (const [kind, start] of Object.entries(REDIS_KINDS)) {
  groupsConformance(`processors of a group that Redis (${kind}) keeps`, async () => {
    const set = await start()
    const client = openClient(set.url)
    await client.ready(10_000)
    return {
      open: () => Spillway.open({ redis: set.url, config: { backstopMs: 50 } }),
      takeAway: async ({ tenant, name }) => {
        await client.call('hdel', key('flow:group', { tenant, flow: name, group: 'g' }), 'owner', 'until')
      },
      close: async () => {
        client.close()
        await set.remove()
      },
    }
  })
}

it('goes on where it was, with a gap, on a Redis that has lost the group and the flow', async () => {
  const redis = await startRedis()
  const spillway = await Spillway.open({ redis: redis.url, config: { backstopMs: 50 } })
  try {
    const flow = spillway.tenant('acme').flow('f')
    const stopping = new AbortController()
    const seen: FlowEvent[] = []
    const over = flow.process('g', (event) => void seen.push(event), {
      from: 'now',
      leaseMs: 600,
      signal: stopping.signal,
    })
    const group = key('flow:group', { tenant: 'acme', flow: 'f', group: 'g' })
    await eventually(() => redis.ask('EXISTS', group))
    await eventually(() => spillway.live.feed({ tenant: 'acme', flow: 'f' }).place)
    const first = await flow.publish('tick', 1)
    await eventually(() => seen.length === 1)
    // Whoever monitors the streams sees the group where the guide has it.
    const stream = key('flow:events', { tenant: 'acme', flow: 'f' })
    await eventually(async () =>
      JSON.stringify(await redis.ask('XINFO', 'GROUPS', stream)).includes(first.id),
    )
    await redis.ask('FLUSHALL')
    await eventually(() => flow.publish('tick', 2), { what: 'a publish' })
    await eventually(() => seen.some(({ payload }) => payload === 2), { what: 'what comes after the gap' })
    // At least once each: the group was lost before the gap was settled, too.
    const all = seen.map(({ type, payload }) => (type === 'gap' ? type : payload))
    expect(all.filter((one, i) => one !== all[i - 1])).toEqual([1, 'gap', 2])
    stopping.abort()
    await over
  } finally {
    await spillway.close()
    await redis.remove()
  }
})
