import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PostgresLocks } from '../../src/locks/postgres.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { type Outside, openOutside, somebodyWaits } from '../postgres/outside.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { reignOf } from './stores.js'

describe('spillway.fence_ok', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: ServerDatabase
  let one: Outside
  let two: Outside
  beforeAll(async () => {
    fresh = await freshDatabase()
    database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
    await migrate(database)
    one = await openOutside(fresh.url)
    two = await openOutside(fresh.url)
  })
  afterAll(async () => {
    await Promise.all([one.close(), two.close(), database.close()])
    await fresh.drop()
  })

  const ok = async (outside: Outside, ...args: readonly (string | number | null)[]) => {
    const places = args.map((_, i) => `$${i + 1}`).join(', ')
    const { rows } = await outside.client.query<{ ok: boolean }>(
      `SELECT spillway.fence_ok(${places}) AS ok`,
      [...args],
    )
    return rows[0]?.ok
  }

  it('takes fences that are not older than the greatest it has seen, lock by lock and tenant by tenant', async () => {
    const lock = randomUUID()
    expect(await ok(one, 'acme', lock, 5)).toBe(true)
    expect(await ok(one, 'acme', lock, 5)).toBe(true)
    expect(await ok(one, 'acme', lock, 4)).toBe(false)
    expect(await ok(one, 'acme', lock, 9_007_199_254_740_991)).toBe(true)
    expect(await ok(one, 'acme', lock, 6)).toBe(false)
    expect(await ok(one, 'other', lock, 1)).toBe(true)
    expect(await ok(one, 'acme', `${lock}-2`, 1)).toBe(true)
    expect(await ok(one, lock, 3)).toBe(true)
    expect(await ok(one, 'default', lock, 2)).toBe(false)
    expect(await ok(one, lock, 2)).toBe(false)
  })

  it('remembers with the transaction that asked, and no sooner', async () => {
    const lock = randomUUID()
    const release = await one.hold('SELECT spillway.fence_ok($1, $2, 7)', ['acme', lock])
    await release('ROLLBACK')
    expect(await ok(one, 'acme', lock, 1)).toBe(true)
  })

  it('lets no old holder write behind the back of a new one', async () => {
    const lock = randomUUID()
    await database.query('CREATE TABLE public.ledger (fence bigint)')
    const write = `INSERT INTO public.ledger SELECT $3 WHERE spillway.fence_ok($1, $2, $3) RETURNING fence`
    // The new holder has checked and not committed yet: the old one has to wait for its answer.
    const release = await one.hold(write, ['acme', lock, 2])
    const old = two.client.query(write, ['acme', lock, 1])
    await eventually(() => somebodyWaits(one), { what: 'the old holder waits' })
    await release('COMMIT')
    expect((await old).rows).toEqual([])
    expect((await one.client.query('SELECT fence FROM public.ledger')).rows).toEqual([{ fence: '2' }])
  })

  it('leaves the scope of its caller as it was', async () => {
    await database.scoped(['mine'], async (tx) => {
      await tx.query('SELECT spillway.fence_ok($1, $2, 1)', ['acme', randomUUID()])
      const [row] = await tx.query<{ tenants: string[] }>('SELECT spillway.tenants() AS tenants')
      expect(row?.tenants).toEqual(['mine'])
    })
  })

  it('refuses what is no tenant, no lock or no fence', async () => {
    for (const args of [
      ['', 'x', 1],
      ['x'.repeat(129), 'x', 1],
      ['acme', '', 1],
      ['acme', 'x'.repeat(257), 1],
      [null, 'x', 1],
      ['acme', null, 1],
      ['acme', 'x', null],
    ])
      await expect(ok(one, ...args)).rejects.toMatchObject({ code: '22023' })
  })

  it('is for those who were let', async () => {
    const admin = await openOutside(fresh.adminUrl)
    const role = `stranger_${randomUUID().slice(0, 8)}`
    await admin.client.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA spillway TO ${role}`)
    await admin.client.query(`SET ROLE ${role}`)
    await expect(ok(admin, 'acme', 'x', 1)).rejects.toMatchObject({ code: '42501' })
    await expect(admin.client.query('SELECT * FROM spillway.fences_seen')).rejects.toMatchObject({
      code: '42501',
    })
    await admin.client.query(
      `RESET ROLE; GRANT EXECUTE ON FUNCTION spillway.fence_ok(text, text, bigint) TO ${role}`,
    )
    await admin.client.query(`SET ROLE ${role}`)
    expect(await ok(admin, 'acme', 'x', 1)).toBe(true)
    expect(await ok(admin, 'x', 1)).toBe(true)
    await admin.client.query(`RESET ROLE; DROP OWNED BY ${role}; DROP ROLE ${role}`)
    await admin.close()
  })

  it('forgets what it has not been asked about for a week, and free locks and waiters sooner', async () => {
    const locks = new PostgresLocks(database)
    const [old, young] = [randomUUID(), randomUUID()]
    for (const lock of [old, young]) expect(await ok(one, 'acme', lock, 5)).toBe(true)
    const reign = reignOf('postgres', 1)
    const ask = { tenant: 'acme', claim: 'c', holder: 'h', ttlMs: 1000 }
    for (const name of [old, young]) {
      await locks.take([{ ...ask, name, patienceMs: 0 }], reign)
      await locks.take([{ ...ask, name, claim: 'd', patienceMs: 1000 }], reign)
    }
    await database.scoped('all', async (tx) => {
      await tx.query(`UPDATE spillway.fences_seen SET seen_at = now() - interval '8 days' WHERE name = $1`, [
        old,
      ])
      await tx.query(`UPDATE spillway.locks SET until = now() - interval '6 minutes' WHERE name = $1`, [old])
      await tx.query(
        `UPDATE spillway.lock_waiters SET until = now() - interval '6 minutes' WHERE name = $1`,
        [old],
      )
    })
    await locks.forget(1000)
    for (const table of ['fences_seen', 'locks', 'lock_waiters']) {
      const rows = await database.scoped('all', (tx) =>
        tx.query<{ name: string }>(`SELECT name FROM spillway.${table} WHERE name IN ($1, $2)`, [old, young]),
      )
      expect([table, rows]).toEqual([table, [{ name: young }]])
    }
    // Each write within an hour leaves the index alone.
    const before = await seenAt(young)
    await ok(one, 'acme', young, 6)
    expect(await seenAt(young)).toEqual(before)
    await database.scoped('all', (tx) =>
      tx.query(`UPDATE spillway.fences_seen SET seen_at = now() - interval '2 hours' WHERE name = $1`, [
        young,
      ]),
    )
    await ok(one, 'acme', young, 6)
    expect((await seenAt(young)).getTime()).toBeGreaterThan(Date.now() - 60_000)
  })

  async function seenAt(lock: string): Promise<Date> {
    const [row] = await database.scoped('all', (tx) =>
      tx.query<{ seen_at: Date }>('SELECT seen_at FROM spillway.fences_seen WHERE name = $1', [lock]),
    )
    return row?.seen_at ?? new Date(0)
  }
})
