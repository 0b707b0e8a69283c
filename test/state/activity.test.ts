import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.js'
import { Spillway } from '../../src/index.js'
import type { Database } from '../../src/postgres/client.js'
import { openDatabase } from '../../src/postgres/open.js'
import { Activity } from '../../src/state/activity.js'
import { PostgresStates } from '../../src/state/postgres.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let one: Spillway
let two: Spillway
let database: Database
let names = 0

beforeAll(async () => {
  fresh = await freshDatabase()
  one = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4 } })
  two = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4 } })
  database = await openDatabase({ ...readConfig({}), databaseUrl: fresh.url, poolSize: 2 })
})
afterAll(async () => {
  await Promise.all([one.close(), two.close(), database.close()])
  await fresh.drop()
})

const someTenant = () => `tenant-${++names}`
const listed = async (tenant: string, query = {}) =>
  (await one.tenant(tenant).flows(query)).map(({ flow }) => flow)

const states = () => new PostgresStates(database)
const later = (ms: number) => Date.now() + 60_000 + ms

/** Flows of a new tenant, in the order in which they came to be. */
async function flowsOf(...flows: string[]): Promise<string> {
  const tenant = someTenant()
  for (const flow of flows)
    await one.tenant(tenant).flow(flow).setState({ status: 'running', engagement: 'e' })
  return tenant
}

describe('the last active flow', () => {
  it('is the one that was published to last, in whichever process', async () => {
    const tenant = await flowsOf('a', 'b', 'c')
    const before = await one.tenant(tenant).flow('a').meta()
    await one.tenant(tenant).flow('a').publish('tick')
    await two.tenant(tenant).flow('b').publish('tick')
    await one.tenant(tenant).flow('c').publish('tick')
    await two.tenant(tenant).flow('a').publish('tick')
    const order = JSON.stringify(['a', 'c', 'b'])
    await eventually(async () => JSON.stringify(await listed(tenant)) === order, {
      what: 'the order of publishing',
    })
    expect(await listed(tenant, { engagement: 'e', limit: 2 })).toEqual(['a', 'c'])
    expect(await listed(tenant, { status: 'running', limit: 1 })).toEqual(['a'])
    // The state's own time stays.
    expect(await one.tenant(tenant).flow('a').meta()).toEqual(before)
    const [a] = await one.tenant(tenant).flows({ limit: 1 })
    const [event] = await one.tenant(tenant).flow('a').history({ last: 1 })
    expect(a?.active_at).toBe(event?.timestamp)
  })

  it('is known once its process has closed', async () => {
    const tenant = await flowsOf('a', 'b')
    const other = await Spillway.open({ postgres: fresh.url, config: { poolSize: 2 } })
    await other.tenant(tenant).flow('a').publish('tick')
    await other.close()
    expect(await listed(tenant)).toEqual(['a', 'b'])
  })
})

describe('what is written of many flows together', () => {
  const activity = (options = {}) => new Activity(states(), { writeMs: 20, ...options })

  it('never moves a flow back', async () => {
    const tenant = await flowsOf('a', 'b')
    const times = async () => (await one.tenant(tenant).flows()).map(({ active_at }) => active_at)
    const before = await times()
    expect(await states().active([{ tenant, flow: 'a', at: 1000 }])).toEqual([{ tenant, flow: 'a' }])
    expect(await times()).toEqual(before)
  })

  it('leaves out flows that are not there, and other tenants of the same flow name', async () => {
    const [tenant, other] = [await flowsOf('a', 'b'), await flowsOf('a', 'b')]
    const written = await states().active([
      { tenant, flow: 'a', at: later(0) },
      { tenant, flow: 'none', at: later(0) },
    ])
    expect(written).toEqual([{ tenant, flow: 'a' }])
    expect(await listed(tenant)).toEqual(['a', 'b'])
    expect(await listed(other)).toEqual(['b', 'a'])
  })

  it('comes later for a flow that an open transaction holds, at once for the others', async () => {
    const tenant = await flowsOf('held', 'free', 'last')
    const client = new Client({ connectionString: fresh.adminUrl })
    await client.connect()
    const gathered = activity()
    try {
      await client.query('BEGIN')
      await client.query(`SELECT FROM spillway.flow_states WHERE tenant = $1 AND flow = 'held' FOR UPDATE`, [
        tenant,
      ])
      gathered.published({ tenant, flow: 'held' }, later(1))
      gathered.published({ tenant, flow: 'free' }, later(0))
      await eventually(async () => (await listed(tenant))[0] === 'free', { what: 'the free flow' })
      await client.query('COMMIT')
      await eventually(async () => (await listed(tenant))[0] === 'held', { what: 'the held flow' })
    } finally {
      await gathered.close()
      await client.end()
    }
  })

  it('is bounded: beyond so many flows that wait, the next are left where they are', async () => {
    const tenant = await flowsOf('a', 'b', 'c')
    const gathered = activity({ writeMs: 60_000, waitingFlows: 2 })
    gathered.published({ tenant, flow: 'a' }, later(0))
    gathered.published({ tenant, flow: 'b' }, later(1))
    gathered.published({ tenant, flow: 'c' }, later(2))
    gathered.published({ tenant, flow: 'a' }, later(3))
    await gathered.close()
    expect(await listed(tenant)).toEqual(['a', 'b', 'c'])
  })

  it('waits while the store is away', async () => {
    const tenant = await flowsOf('a', 'b')
    let away = true
    let tried = 0
    const gathered = new Activity(
      {
        takeActiveBySql: async () => [],
        active: (flows) => {
          tried += 1
          return away ? Promise.reject(new Error('away')) : states().active(flows)
        },
      },
      { writeMs: 5 },
    )
    gathered.published({ tenant, flow: 'a' }, later(0))
    await eventually(() => tried > 1, { what: 'a second try' })
    away = false
    await eventually(async () => (await listed(tenant))[0] === 'a', { what: 'the flow is first' })
    await gathered.close()
  })
})

describe('a publish in SQL', () => {
  let client: Client
  let admin: Client
  beforeAll(async () => {
    client = new Client({ connectionString: fresh.url })
    admin = new Client({ connectionString: fresh.adminUrl })
    await Promise.all([client.connect(), admin.connect()])
  })
  afterAll(() => Promise.all([client.end(), admin.end()]))

  const publish = (tenant: string, flow: string) =>
    client.query(`SELECT spillway.publish($1, $2, 'tick')`, [tenant, flow])
  /** Flows of this tenant that nobody has taken yet. */
  const noted = async (tenant: string) =>
    (await admin.query('SELECT flow FROM spillway.sql_activity WHERE tenant = $1', [tenant])).rowCount
  const isFirst = (tenant: string, flow: string) =>
    eventually(async () => (await listed(tenant))[0] === flow, { what: `${flow} is first` })

  it('moves its flow like any other, to the time of its event', async () => {
    const tenant = await flowsOf('a', 'b', 'c')
    const other = await flowsOf('a', 'b')
    await publish(tenant, 'a')
    await isFirst(tenant, 'a')
    await publish(tenant, 'b')
    await isFirst(tenant, 'b')
    expect(await listed(tenant)).toEqual(['b', 'a', 'c'])
    const [b] = await one.tenant(tenant).flows({ limit: 1 })
    const [event] = await one.tenant(tenant).flow('b').history({ last: 1 })
    expect(b?.active_at).toBe(event?.timestamp)
    expect(await listed(other)).toEqual(['b', 'a'])
    expect(await noted(tenant)).toBe(0)
  })

  it('moves it when its transaction has committed, and not at all if it has not', async () => {
    const tenant = await flowsOf('a', 'b', 'c')
    await client.query('BEGIN')
    await publish(tenant, 'b')
    await client.query('ROLLBACK')
    await client.query('BEGIN')
    await publish(tenant, 'a')
    // Whatever is open there holds up neither the flow's state nor what is noted of others.
    await one.tenant(tenant).flow('a').setState({ status: 'waiting' })
    await two.tenant(tenant).flow('c').publish('tick')
    await isFirst(tenant, 'c')
    expect(await listed(tenant)).toEqual(['c', 'a', 'b'])
    await publish(tenant, 'a')
    await client.query('COMMIT')
    await isFirst(tenant, 'a')
    expect(await listed(tenant)).toEqual(['a', 'c', 'b'])
  })

  it('leaves one note a flow, which one process takes, after the last open transaction on it', async () => {
    const tenant = someTenant()
    const taken = async () => {
      const all = (await Promise.all([states().takeActiveBySql(1000), states().takeActiveBySql(1000)])).flat()
      return all.filter((one) => one.tenant === tenant).map(({ flow }) => flow)
    }
    await Promise.all([one.close(), two.close()])
    try {
      await publish(tenant, 'a')
      await publish(tenant, 'a')
      await publish(tenant, 'b')
      expect(await noted(tenant)).toBe(2)
      await client.query('BEGIN')
      await publish(tenant, 'a')
      expect(await taken()).toEqual(['b'])
      await client.query('COMMIT')
      expect(await taken()).toEqual(['a'])
      expect(await noted(tenant)).toBe(0)
      for (let n = 0; n < 5; n++) await publish(tenant, `flow-${n}`)
      expect(await states().takeActiveBySql(2)).toHaveLength(2)
      expect(await noted(tenant)).toBe(3)
    } finally {
      one = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4 } })
      two = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4 } })
    }
  })

  it('does not hide a later one of the library that waits', async () => {
    const tenant = await flowsOf('a', 'b')
    const gathered = new Activity(states(), { writeMs: 60_000 })
    gathered.published({ tenant, flow: 'a' }, later(5))
    gathered.published({ tenant, flow: 'b' }, later(4))
    // As it comes when SQL's is taken.
    gathered.published({ tenant, flow: 'a' }, later(3))
    await gathered.close()
    expect(await listed(tenant)).toEqual(['a', 'b'])
  })

  it('stays noted while there is no room for it', async () => {
    const tenant = await flowsOf('a', 'b')
    let written = 0
    const asked: number[] = []
    const gathered = new Activity(
      {
        active: async () => {
          written += 1
          return []
        },
        takeActiveBySql: async (flows) => {
          asked.push(flows)
          return []
        },
      },
      { writeMs: 5, waitingFlows: 2 },
    )
    gathered.start()
    gathered.published({ tenant, flow: 'a' }, later(0))
    await eventually(() => asked.length > 2, { what: 'looks' })
    gathered.published({ tenant, flow: 'b' }, later(0))
    asked.length = 0
    written = 0
    await eventually(() => written > 5, { what: 'writes that succeed with none of them' })
    await gathered.close()
    // The first may have been on its way.
    expect(asked.slice(1)).toEqual([])
    expect(asked.every((flows) => flows === 1)).toBe(true)
  })

  it('is looked for again after the store was away', async () => {
    const tenant = await flowsOf('a', 'b')
    let looks = 0
    const gathered = new Activity(
      {
        active: (flows) => states().active(flows),
        takeActiveBySql: async () => {
          looks += 1
          if (looks === 1) throw new Error('away')
          return looks === 2 ? [{ tenant, flow: 'a', at: later(0) }] : []
        },
      },
      { writeMs: 5 },
    )
    gathered.start()
    await isFirst(tenant, 'a')
    await gathered.close()
  })
})
