import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FastLog } from '../../src/events/fast.js'
import { Kinds } from '../../src/events/kinds.js'
import { PostgresLog } from '../../src/events/postgres.js'
import type { Database } from '../../src/postgres/client.js'
import { EmbeddedDatabase } from '../../src/postgres/embedded.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { FlowRef } from '../../src/tenant.js'
import { FixedTerm } from '../../src/term/fixed.js'
import { holdFlow, type Outside, openOutside, somebodyWaits } from '../postgres/outside.js'
import { freshDatabase } from '../support/database.js'
import { embeddedFolder } from '../support/embedded.js'
import { eventually } from '../support/eventually.js'
import { startPgBouncer } from '../support/pgbouncer.js'
import { draft, keep, newBatch, numbered, readAll, seqsOf, someFlow } from './drafts.js'
import { logConformance } from './log.conformance.js'
import { stillStore } from './log-store.js'
import { retainedConformance } from './retained.conformance.js'

const databases = {
  PGlite: async () => {
    const folder = await embeddedFolder()
    return openedBy(await EmbeddedDatabase.open(folder), () => rm(folder, { recursive: true }))
  },
  PostgreSQL: async () => {
    const fresh = await freshDatabase()
    return openedBy(openServer(fresh.url), fresh.drop)
  },
  'PostgreSQL behind PgBouncer in transaction mode': async () => {
    const fresh = await freshDatabase()
    const pooler = await startPgBouncer(fresh.url)
    return openedBy(openServer(pooler.url), async () => {
      await pooler.remove()
      await fresh.drop()
    })
  },
}

async function openedBy(database: Database, remove: () => Promise<void>) {
  await migrate(database)
  const close = async () => {
    await database.close()
    await remove()
  }
  return { database, log: new PostgresLog(database), close }
}

function openServer(url: string): ServerDatabase {
  return new ServerDatabase({ url, listenUrl: null, poolSize: 4 })
}

for (const [name, open] of Object.entries(databases)) {
  logConformance(name, async () => {
    const { log, close } = await open()
    return { ...stillStore(log, 'durable', close), log }
  })
  retainedConformance(name, open)
}

logConformance('PostgreSQL, of fast flows under its reign', async () => {
  const { database, log: postgres, close } = await databases.PostgreSQL()
  const term = await FixedTerm.onPostgres(database)
  const log = new FastLog({ term, redis: undefined, postgres, beginnings: new Kinds(database) })
  return { ...stillStore(log, 'fast', close), log }
})

describe('the event log beside other transactions', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: ServerDatabase
  let log: PostgresLog
  let outside: Outside
  let watcher: Outside
  beforeAll(async () => {
    fresh = await freshDatabase()
    database = openServer(fresh.url)
    await migrate(database)
    log = new PostgresLog(database)
    outside = await openOutside(fresh.adminUrl)
    watcher = await openOutside(fresh.adminUrl)
  })
  afterAll(async () => {
    await outside.close()
    await watcher.close()
    await database.close()
    await fresh.drop()
  })

  it('refuses a batch while another transaction holds one of its flows, and stores nothing of it', async () => {
    const [held, free] = [someFlow(), someFlow()]
    await log.append([draft(held), draft(free)], newBatch())
    const release = await holdFlow(outside, held.tenant, held.flow)
    await expect(log.append([draft(free), draft(held)], newBatch())).rejects.toMatchObject({
      code: 'FLOW_BUSY',
      temporary: true,
    })
    expect(await readAll(log, free)).toHaveLength(1)
    await release()
    expect(seqsOf(await log.append([draft(free), draft(held)], newBatch()))).toEqual([2, 2])
  })

  it('stores a batch once that is repeated while its first try is still committing', async () => {
    const ref = someFlow()
    await log.append([draft(ref)], newBatch())
    const batch = newBatch()
    // The first try has done its work and waits for the last step: its receipt.
    const release = await outside.hold('INSERT INTO spillway.receipts VALUES ($1, now(), $2, $3, $4)', [
      batch.token,
      [1],
      [1],
      'd',
    ])
    const first = log.append(numbered(ref, 3), batch).catch((error: unknown) => error)
    await eventually(() => somebodyWaits(watcher), { what: 'the first try waits' })
    const second = log.append(numbered(ref, 3), { ...batch, repeat: true }).catch((error: unknown) => error)
    await release()
    const answers = await Promise.all([first, second])
    expect(answers.some((answer) => Array.isArray(answer))).toBe(true)
    const again = await log.append(numbered(ref, 3), { ...batch, repeat: true })
    expect(seqsOf(again)).toEqual([2, 3, 4])
    expect(await readAll(log, ref)).toHaveLength(4)
  })

  it('takes a first try that arrives after its repeat for what it is', async () => {
    const ref = someFlow()
    const batch = newBatch()
    await log.append(numbered(ref, 2), { ...batch, repeat: true })
    await expect(log.append(numbered(ref, 2), batch)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(await readAll(log, ref)).toHaveLength(2)
  })

  it('trims beside a publish that is not committed, and keeps the flow and the event of that', async () => {
    const ref = someFlow()
    await log.append(numbered(ref, 3), newBatch())
    const release = await outside.hold(`SELECT spillway.publish($1, $2, 'tick')`, [ref.tenant, ref.flow])
    expect(await log.trim([ref], keep({ maxEvents: 0 }))).toEqual([{ floor: 3, events: 3, more: false }])
    const forget = { ...keep({}), flowAgeMs: 0 }
    expect(await log.forget(forget, 100)).toBe(0)
    await release('COMMIT')
    expect(await log.forget(forget, 100)).toBe(0)
    expect((await readAll(log, ref)).map(({ seq }) => seq)).toEqual([4])
    await outside.client.query(
      `UPDATE spillway.events SET at = at - interval '1 hour'
       WHERE flow_id = (SELECT id FROM spillway.flows WHERE flow = $1)`,
      [ref.flow],
    )
    await outside.client.query(
      `UPDATE spillway.flows SET look_at = look_at - interval '1 hour' WHERE flow = $1`,
      [ref.flow],
    )
    expect(await log.trimOldest(keep({ maxAgeMs: 60_000 }), 100)).toBe(1)
    expect(await log.forget(forget, 100)).toBe(1)
    await outside.client.query('UPDATE spillway.log_life SET term = 1')
  })

  it('takes an id that it has learnt for no other flow, nor for one that was forgotten', async () => {
    const [gone, other] = [someFlow(), someFlow()]
    await log.append([draft(gone), draft(other)], newBatch())
    await log.append([draft(gone), draft(other)], newBatch())
    // As another instance would: this log still knows the flow's id.
    await outside.client.query('DELETE FROM spillway.heads WHERE flow = $1', [gone.flow])
    await outside.client.query('DELETE FROM spillway.flows WHERE flow = $1', [gone.flow])
    expect(seqsOf(await log.append([draft(gone), draft(other)], newBatch()))).toEqual([1, 3])
    // As after a restore: the id that this log knows is another flow's now.
    await outside.client.query(
      `WITH renamed AS (UPDATE spillway.flows SET flow = $2 WHERE flow = $1)
       UPDATE spillway.heads SET flow = $2 WHERE flow = $1`,
      [gone.flow, `${gone.flow}-renamed`],
    )
    expect(seqsOf(await log.append([draft(gone), draft(other)], newBatch()))).toEqual([1, 4])
    expect(await readAll(log, { ...gone, flow: `${gone.flow}-renamed` })).toHaveLength(1)
  })

  it('never goes back to an older term, whenever the log began another life', async () => {
    const ref = someFlow()
    await log.append(numbered(ref, 3), newBatch())
    // The append has begun, with the old life, and waits for the flow.
    const release = await outside.hold(`SELECT spillway.publish($1, $2, 'tick')`, [ref.tenant, ref.flow])
    const waiting = log.append(numbered(ref, 1), newBatch())
    await eventually(() => somebodyWaits(watcher), { what: 'the append waits' })
    await outside.client.query('UPDATE spillway.log_life SET term = term + 1')
    await outside.client.query(`SELECT spillway.publish($1, $2, 'tick')`, [ref.tenant, ref.flow])
    await release('COMMIT')
    const [outcome] = await waiting
    expect(outcome).toMatchObject({ event: { term: 2, seq: 6 } })
    const { position } = await log.read(ref, { order: 'asc', limit: 1 })
    expect(position).toEqual({ term: 2, termFrom: 5, head: 6, floor: 0 })
    await watcher.client.query('UPDATE spillway.log_life SET term = 1')
  })

  it('passes over a flow that somebody is trimming, and trims those beside it', async () => {
    const refs = [someFlow('aged'), someFlow('aged')]
    const [held] = refs as [FlowRef]
    await log.append(
      refs.flatMap((ref) => numbered(ref, 9)),
      newBatch(),
    )
    const hold = () =>
      outside.hold('SELECT FROM spillway.flows WHERE tenant = $1 AND flow = $2 FOR UPDATE', [
        held.tenant,
        held.flow,
      ])
    const left = { floor: 6, events: 6, more: false }
    let release = await hold()
    expect(await log.trim(refs, keep({ maxEvents: 3 }))).toEqual([undefined, left])
    await release()
    expect(await log.trim(refs, keep({ maxEvents: 3 }))).toEqual([left, { ...left, events: 0 }])

    await outside.client.query(`UPDATE spillway.events SET at = at - interval '1 hour' WHERE tenant = 'aged'`)
    await outside.client.query(
      `UPDATE spillway.flows SET look_at = look_at - interval '1 hour' WHERE tenant = 'aged'`,
    )
    release = await hold()
    expect(await log.trimOldest(keep({ maxAgeMs: 60_000 }), 100)).toBe(3)
    await release()
    expect(await log.trimOldest(keep({ maxAgeMs: 60_000 }), 100)).toBe(3)
  })
})
