import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Live } from '../../src/events/live.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { Spillway } from '../../src/index.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'

const MiB = 1024 * 1024

describe('a look at many flows', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let spillway: Spillway

  beforeAll(async () => {
    fresh = await freshDatabase()
    const config = { poolSize: 4, maxPayloadBytes: 2 * MiB }
    spillway = await Spillway.open({ postgres: fresh.url, config })
  })
  afterAll(async () => {
    await spillway.close()
    await fresh.drop()
  })

  it('shares its bytes among them, and brings each further', async () => {
    const refs = Array.from({ length: 12 }, (_, i) => ({ tenant: 'acme', flow: `f${i}`, after: 0 }))
    const payload = 'x'.repeat(MiB / 2)
    for (const { flow } of refs)
      await spillway
        .tenant('acme')
        .flow(flow)
        .publishMany(Array.from({ length: 5 }, () => ({ type: 'big', payload })))
    const pages = await new PostgresLog(spillway.database).readSince(refs, 500)
    const sizes = pages.map(({ events }) => events.reduce((sum, event) => sum + event.payload.length, 0))
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(16 * MiB)
    // More flows than megabytes: one event each, though it is larger than the share.
    const many = Array.from({ length: 40 }, (_, i) => refs[i % refs.length] as (typeof refs)[number])
    for (const { events } of await new PostgresLog(spillway.database).readSince(many, 500))
      expect(events.map(({ seq }) => seq)).toEqual([1])
    expect(Math.min(...pages.map(({ events }) => events.length))).toBeGreaterThanOrEqual(2)
  })

  it('leaves the flows beyond a number for the next look', async () => {
    const asked: number[] = []
    const log = new PostgresLog(spillway.database)
    const readSince = log.readSince.bind(log)
    log.readSince = (flows, limit) => {
      asked.push(flows.length)
      return readSince(flows, limit)
    }
    const live = new Live(log, { backstopMs: 60_000 })
    const feeds = Array.from({ length: 600 }, (_, i) => live.feed({ tenant: 'acme', flow: `watched-${i}` }))
    await eventually(() => feeds.every(({ place }) => place !== undefined))
    live.close()
    expect(asked).toEqual([256, 256, 88])
  })
})
