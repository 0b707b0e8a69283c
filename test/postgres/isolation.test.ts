import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PostgresLog } from '../../src/events/postgres.js'
import type { Queryable } from '../../src/postgres/client.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { PostgresStates } from '../../src/state/postgres.js'
import { draft, newBatch } from '../events/drafts.js'
import { freshDatabase } from '../support/database.js'

/** Tables that hold no tenant's rows; anything else must be protected. */
const SHARED = ['instances', 'log_life', 'migrations', 'receipts', 'secrets', 'term', 'turns']

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let database: ServerDatabase
let admin: ServerDatabase

beforeAll(async () => {
  fresh = await freshDatabase()
  database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 3 })
  admin = new ServerDatabase({ url: fresh.adminUrl, listenUrl: null, poolSize: 3 })
  await migrate(database)
})
afterAll(async () => {
  await database.close()
  await admin.close()
  await fresh.drop()
})

async function tables(): Promise<{ name: string; tenant: boolean; forced: boolean }[]> {
  return admin.query(
    `SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped) AS tenant
     FROM pg_class c WHERE c.relnamespace = 'spillway'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1`,
  )
}

/** A row of that tenant, with whatever its columns ask for. */
async function insertRow(tx: Queryable, table: string, tenant: string): Promise<void> {
  const columns = await tx.query<{ name: string; type: string }>(
    `SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type FROM pg_attribute a
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND a.attnotnull AND d.oid IS NULL AND a.attidentity = ''`,
    [`spillway.${table}`],
  )
  const value: Record<string, unknown> = {
    text: `of ${tenant}`,
    'text[]': [],
    integer: 1,
    bigint: tenant.length,
    'timestamp with time zone': new Date(),
  }
  const fitting = (name: string, type: string) => {
    if (name === 'tenant') return tenant
    if (name === 'durability') return 'durable'
    if (name === 'algorithm') return 'fixed'
    if (!(type in value)) throw new Error(`this test has no value of type ${type} for ${table}.${name}`)
    return value[type]
  }
  await tx.query(
    `INSERT INTO spillway.${table} (${columns.map(({ name }) => name).join(', ')})
     VALUES (${columns.map((_, i) => `$${i + 1}`).join(', ')})`,
    columns.map(({ name, type }) => fitting(name, type)),
  )
}

const count = async (tx: Queryable, table: string, tenant: string) =>
  (await tx.query(`SELECT FROM spillway.${table} WHERE tenant = $1`, [tenant])).length

describe('row-level security', () => {
  it('is forced on every table that has a tenant, and no other table has rows of tenants', async () => {
    const all = await tables()
    expect(all.filter(({ tenant }) => !tenant).map(({ name }) => name)).toEqual(SHARED)
    expect(all.filter(({ tenant, forced }) => tenant && !forced)).toEqual([])
    expect(all.filter(({ tenant }) => tenant).length).toBeGreaterThanOrEqual(4)
  })

  it.each(['its owner', 'a superuser'])('holds in a scope for %s, table by table', async (who) => {
    const db = who === 'a superuser' ? admin : database
    const [own, other] = who === 'a superuser' ? ['mine-s', 'theirs-s'] : ['mine', 'theirs']
    for (const { name, tenant } of await tables()) {
      if (!tenant) continue
      await db.scoped([other], (tx) => insertRow(tx, name, other))
      await db.scoped([own], async (tx) => {
        await insertRow(tx, name, own)
        expect([name, await count(tx, name, own), await count(tx, name, other)]).toEqual([name, 1, 0])
        expect(await tx.query(`UPDATE spillway.${name} SET tenant = tenant RETURNING tenant`)).toEqual([
          { tenant: own },
        ])
        expect(
          await tx.query(`DELETE FROM spillway.${name} WHERE tenant = $1 RETURNING tenant`, [other]),
        ).toEqual([])
      })
      await expect(db.scoped([own], (tx) => insertRow(tx, name, other))).rejects.toMatchObject({
        cause: { code: '42501' },
      })
      await expect(
        db.scoped([own], (tx) => tx.query(`UPDATE spillway.${name} SET tenant = $1`, [other])),
      ).rejects.toMatchObject({ cause: { code: '42501' } })
      await db.scoped([other], async (tx) => {
        expect([name, await count(tx, name, other)]).toEqual([name, 1])
        await tx.query(`DELETE FROM spillway.${name}`)
      })
      await db.scoped('all', async (tx) => {
        expect(await count(tx, name, own)).toBe(1)
        await tx.query(`DELETE FROM spillway.${name} WHERE tenant = $1`, [own])
      })
    }
  })

  it('shows nothing to a transaction without tenants, nor to one that follows on a scoped one', async () => {
    const log = new PostgresLog(database)
    await log.append([draft({ tenant: 'acme', flow: 'f' })], newBatch())
    for (const scope of [[], [''], ['ACME'], ['acme '], ['{acme}'], ['*'], ['%']])
      expect(await database.scoped(scope, (tx) => tx.query('SELECT FROM spillway.flows'))).toEqual([])
    expect(await database.query('SELECT FROM spillway.flows')).toEqual([])
    for (let i = 0; i < 10; i++) {
      expect(await database.scoped(['acme'], (tx) => tx.query('SELECT FROM spillway.flows'))).toHaveLength(1)
      expect(await database.query('SELECT FROM spillway.flows')).toEqual([])
    }
    await expect(
      database.scoped('all', async (tx) => {
        await tx.query('SELECT FROM spillway.flows')
        throw new Error('stop')
      }),
    ).rejects.toThrow('stop')
    expect(await database.query('SELECT FROM spillway.flows')).toEqual([])
  })

  it('takes a tenant by its exact name, whatever that is made of', async () => {
    const names = [`'`, `"`, '\\', `\\'`, `"}`, '{', 'a,b', 'NULL', `'; RESET ROLE; --`, '$1', 'ü😀', ' ']
    for (const tenant of names) {
      await database.scoped([tenant], (tx) =>
        tx.query(`INSERT INTO spillway.flow_states (tenant, flow) VALUES ($1, 'f')`, [tenant]),
      )
    }
    for (const tenant of names) {
      expect(
        await database.scoped([tenant], (tx) => tx.query('SELECT tenant FROM spillway.flow_states')),
      ).toEqual([{ tenant }])
    }
    const seen = await database.scoped(names, (tx) => tx.query('SELECT FROM spillway.flow_states'))
    expect(seen).toHaveLength(names.length)
  })

  it('keeps names apart that look alike when they are joined', async () => {
    const states = new PostgresStates(database)
    const refs = [
      { tenant: 'a', flow: 'b:c' },
      { tenant: 'a:b', flow: 'c' },
      { tenant: 'a%3Ab', flow: 'c' },
    ]
    for (const [i, ref] of refs.entries()) await states.set(ref, { n: i })
    for (const [i, ref] of refs.entries()) expect(await states.get(ref)).toEqual({ n: i })
  })
})
