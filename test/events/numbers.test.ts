import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Kinds } from '../../src/events/kinds.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import { draft, newBatch, seqsOf, someFlow } from './drafts.js'

describe('the numbers of a fast flow, as PostgreSQL gives and foresees them', () => {
  let fresh: FreshDatabase
  let database: ServerDatabase
  let log: PostgresLog
  beforeAll(async () => {
    fresh = await freshDatabase()
    database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
    await migrate(database)
    log = new PostgresLog(database)
  })
  afterAll(async () => {
    await database?.close()
    await fresh?.drop()
  })

  const reign = (number: number, store: 'redis' | 'postgres') =>
    database.query('UPDATE spillway.term SET number = $1, store = $2', [number, store])
  const fast = (ref: ReturnType<typeof someFlow>) => [draft(ref, { durability: 'fast' })]
  /** Every reign is met by a process that has heard nothing before. */
  const baseOf = async (ref: ReturnType<typeof someFlow>, number: number) =>
    new Kinds(database).base(ref, number)

  it('leap over what Redis may have given, though nobody could report it', async () => {
    const ref = someFlow()
    await reign(2, 'redis')
    expect(await baseOf(ref, 2)).toBe(0)
    await reign(3, 'postgres')
    expect(seqsOf(await log.appendIn(3, fast(ref), newBatch()))).toEqual([10_001])
    await reign(4, 'redis')
    expect(await baseOf(ref, 4)).toBe(10_001)
    await reign(5, 'postgres')
    // Nobody has given what lies between in that term: a reader who has more than it knows is no loser.
    const { position } = await log.read(ref, { order: 'asc', limit: 10 })
    expect(position).toMatchObject({ term: 4, termFrom: 10_002, head: 10_001 })
    expect(seqsOf(await log.appendIn(5, fast(ref), newBatch()))).toEqual([20_002])
  })

  it('leap in the same way for who publishes in SQL', async () => {
    const ref = someFlow()
    await reign(2, 'redis')
    await baseOf(ref, 2)
    await reign(3, 'postgres')
    const [row] = await database.query<{ id: string }>(`SELECT spillway.publish($1, $2, 'tick') AS id`, [
      ref.tenant,
      ref.flow,
    ])
    expect(row?.id).toBe('3-10001')
  })

  it('leap where one Redis follows on another, and are the same to all who ask in one reign', async () => {
    const ref = someFlow()
    await reign(6, 'redis')
    expect([await baseOf(ref, 6), await baseOf(ref, 6)]).toEqual([0, 0])
    await reign(7, 'redis')
    expect([await baseOf(ref, 7), await baseOf(ref, 7)]).toEqual([10_000, 10_000])
  })

  it('are not foreseen anew by who comes a reign too late', async () => {
    const ref = someFlow()
    await reign(8, 'redis')
    await baseOf(ref, 8)
    await reign(10, 'postgres')
    expect(seqsOf(await log.appendIn(10, fast(ref), newBatch()))).toEqual([10_001])
    await baseOf(ref, 9)
    expect(seqsOf(await log.appendIn(10, fast(ref), newBatch()))).toEqual([10_002])
  })
})
