import { readdirSync, readFileSync } from 'node:fs'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { PostgresLog } from '../../src/events/postgres.js'
import type { Database, Queryable } from '../../src/postgres/client.js'
import { migrate, migrations } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { draft, newBatch } from '../events/drafts.js'
import { emptyDatabase } from '../support/database.js'
import { startPgBouncer } from '../support/pgbouncer.js'
import { startPostgres } from '../support/postgres.js'

let fresh: Awaited<ReturnType<typeof emptyDatabase>>
const open: ServerDatabase[] = []

function connect(url: string): ServerDatabase {
  const database = new ServerDatabase({ url, listenUrl: null, poolSize: 2 })
  open.push(database)
  return database
}

beforeAll(async () => {
  fresh = await emptyDatabase()
})
afterAll(async () => {
  for (const database of open) await database.close()
  await fresh.drop()
})

const last = migrations().at(-1) as ReturnType<typeof migrations>[number]

it('numbers migrations 1, 2, 3 …', () => {
  expect(migrations().map(({ number }) => number)).toEqual(migrations().map((_, i) => i + 1))
  const folder = new URL('../../src/postgres/migrations/', import.meta.url)
  expect(readdirSync(folder)).toHaveLength(migrations().length)
  expect(migrations()[0]?.text).toBe(readFileSync(new URL('0001_events.sql', folder), 'utf8'))
})

it('migrates once, however many instances start at the same moment', async () => {
  const instances = Array.from({ length: 6 }, () => connect(fresh.url))
  const applied = await Promise.all(instances.map((database) => migrate(database)))
  expect(applied.map((list) => list.length).sort((a, b) => a - b)).toEqual([0, 0, 0, 0, 0, last.number])
  expect(await migrate(instances[0] as Database)).toEqual([])
})

it('asks one question when there is nothing to do', async () => {
  const database = connect(fresh.url)
  const asked: string[] = []
  const counting: Database = {
    kind: 'postgres',
    parallel: 1,
    query: <R extends object>(text: string, values?: readonly unknown[]) => {
      asked.push(text)
      return database.query<R>(text, values)
    },
    scoped: () => Promise.reject(new Error('not needed')),
    transaction: () => Promise.reject(new Error('not needed')),
    listen: () => Promise.reject(new Error('not needed')),
    close: () => database.close(),
  }
  expect(await migrate(counting)).toEqual([])
  expect(asked).toHaveLength(1)
})

it('applies what is missing, and all of it or nothing', async () => {
  const database = connect(fresh.url)
  const next = (number: number, text: string) => ({ number, name: 'test', text })
  const good = next(last.number + 1, 'CREATE TABLE spillway.extra (one int)')
  const bad = next(last.number + 2, 'SELECT no_such_function()')
  await expect(migrate(database, [...migrations(), good, bad])).rejects.toMatchObject({ code: 'INTERNAL' })
  const exists = (tx: Queryable) =>
    tx.query<{ t: string | null }>(`SELECT to_regclass('spillway.extra')::text AS t`)
  expect(await exists(database)).toEqual([{ t: null }])
  expect(await migrate(database, [...migrations(), good])).toEqual([good])
  expect(await exists(database)).toEqual([{ t: 'spillway.extra' }])
})

it('refuses a schema that is newer than the code, and names a way out', async () => {
  const database = connect(fresh.url)
  await expect(migrate(database)).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW', temporary: false })
  await expect(migrate(database)).rejects.toThrow('newer version')
})

it('takes the flows of an older schema over: where they stand, what is trimmed, what is empty', async () => {
  const own = await emptyDatabase()
  const database = connect(own.url)
  await migrate(database, migrations().slice(0, 4))
  await database.scoped('all', async (tx) => {
    await tx.query(
      `INSERT INTO spillway.flows (tenant, flow, durability, term, term_from, head, floor, last_at, oldest_at)
       VALUES ('acme', 'kept', 'fast', 3, 2, 4, 1, now(), now() - interval '2 hours'),
         ('acme', 'empty', 'durable', 3, 1, 9, 9, now() - interval '1 hour', NULL)`,
    )
    await tx.query(
      `INSERT INTO spillway.events (flow_id, seq, term, tenant, type, source, at, payload)
       SELECT f.id, s, 3, 'acme', 'old', 'test', now() - interval '2 hours', '{}'
       FROM spillway.flows f, generate_series(2, 4) s WHERE f.flow = 'kept'`,
    )
  })
  await database.query('UPDATE spillway.log_life SET term = 3')
  expect(await migrate(database)).toEqual(migrations().slice(4))

  const log = new PostgresLog(database)
  const kept = { tenant: 'acme', flow: 'kept' }
  const page = await log.read(kept, { order: 'asc', limit: 10 })
  expect(page.position).toEqual({ term: 3, termFrom: 2, head: 4, floor: 1 })
  expect(page.events).toHaveLength(3)
  expect(await log.append([draft(kept)], newBatch())).toMatchObject([
    { event: { term: 3, seq: 5 }, durability: 'fast' },
  ])
  const hours = (n: number) => ({ maxEvents: 100, maxAgeMs: n * 3_600_000, flowAgeMs: n * 3_600_000 })
  expect(await log.trimOldest(hours(1.5), 10)).toBe(3)
  expect(await log.forget(hours(1.5), 10)).toBe(0)
  expect(await log.forget(hours(0.5), 10)).toBe(1)
  await database.close()
  open.splice(open.indexOf(database), 1)
  await own.drop()
})

it('works through PgBouncer in transaction mode', async () => {
  const own = await emptyDatabase()
  const pooler = await startPgBouncer(own.url)
  const instances = [connect(pooler.url), connect(pooler.url), connect(own.url)]
  const applied = await Promise.all(instances.map((database) => migrate(database)))
  expect(applied.flat()).toHaveLength(last.number)
  await Promise.all(open.splice(0).map((database) => database.close()))
  await pooler.remove()
  await own.drop()
})

it('creates the application role itself where the login may, in two databases at once', async () => {
  const server = await startPostgres()
  try {
    const admin = new Client({ connectionString: server.adminUrl })
    await admin.connect()
    await admin.query('REVOKE spillway_app FROM spillway_login')
    await admin.query('DROP ROLE spillway_app')
    await admin.end()
    const databases = [await server.database(), await server.database()].map(
      ({ url }) => new ServerDatabase({ url, listenUrl: null, poolSize: 2 }),
    )
    const applied = await Promise.allSettled(databases.map((database) => migrate(database)))
    for (const database of databases) {
      await migrate(database)
      await database.close()
    }
    expect(applied.map(({ status }) => status)).toContain('fulfilled')
  } finally {
    await server.remove()
  }
})
