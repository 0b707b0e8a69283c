import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RetainedLog } from '../../src/events/log.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { Spillway } from '../../src/index.js'
import { PostgresStates } from '../../src/state/postgres.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'

const NOW = { maxEvents: 10_000, maxAgeMs: 0, flowAgeMs: 0 }

describe('flows without events', () => {
  let database: FreshDatabase
  let spillway: Spillway
  let log: RetainedLog

  beforeAll(async () => {
    database = await freshDatabase()
    spillway = await Spillway.open({ postgres: database.url })
    log = new PostgresLog(spillway.database)
  })
  afterAll(async () => {
    await spillway.close()
    await database.drop()
  })

  it('keeps a flow that has events, and one that was active lately', async () => {
    const flow = spillway.tenant('acme').flow('kept')
    await flow.publish('a')
    expect(await log.forget(NOW, 100)).toBe(0)
    await log.trim([{ tenant: 'acme', flow: 'kept' }], { ...NOW, maxEvents: 0 })
    expect(await log.forget({ ...NOW, flowAgeMs: 60_000 }, 100)).toBe(0)
    expect((await flow.publish('b')).id).toBe('1-2')
  })

  it('begins a forgotten flow anew in a later term, and tells the reader of its old life', async () => {
    const ref = { tenant: 'acme', flow: 'silent' }
    const flow = spillway.tenant('acme').flow('silent')
    const other = spillway.tenant('acme').flow('other')
    await other.publish('a')
    const last = (await flow.publishMany([{ type: 'a' }, { type: 'b' }])).at(-1)
    await log.trim([ref], { ...NOW, maxEvents: 0 })
    expect(await log.forget(NOW, 100)).toBeGreaterThan(0)
    const states = new PostgresStates(spillway.database)
    await states.forget(0, 100)
    expect(await spillway.tenant('acme').flows()).not.toContainEqual(
      expect.objectContaining({ flow: 'silent' }),
    )

    const again = await flow.publish('c')
    expect(again.id).toBe('2-1')
    expect((await other.publish('b')).id).toBe('2-2')
    const seen = await flow.history({ after: last?.id ?? '' })
    expect(seen.map((event) => [event.type, event.payload])).toEqual([
      ['gap', { flow: 'silent', from: '1-1', to: '1-2', reason: 'lost' }],
      ['c', {}],
    ])
    expect((await other.history({ after: '1-1' })).map((event) => event.id)).toEqual(['2-2'])
  })
})
