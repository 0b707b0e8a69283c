import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Spillway } from '../../src/index.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { run } from './running.js'

describe('spillway limit', () => {
  let database: FreshDatabase
  let server: RedisServer
  let spillway: Spillway
  let env: Record<string, string>
  beforeAll(async () => {
    database = await freshDatabase()
    server = await startRedis()
    env = { DATABASE_URL: database.url, REDIS_URL: server.url }
    spillway = await Spillway.open({ postgres: database.url, redis: server.url })
    await eventually(() => spillway.term.reign?.store === 'redis', {
      withinMs: 30_000,
      what: 'the reign of Redis',
    })
  }, 120_000)
  afterAll(async () => {
    await spillway.close()
    await server.remove()
    await database.drop()
  })

  it('shows what was counted, and forgets it', async () => {
    const { limits } = spillway.tenant('acme')
    const user = { name: 'user:u1', max: 3, perMs: 600_000, cost: 3 }
    await limits.take([user, { name: 'jobs', max: 5, perMs: 60_000, algorithm: 'concurrency' }])
    const shown = await run(['limit', 'show', '--tenant', 'acme', '--json'], env).ended
    expect([shown.code, shown.err]).toEqual([0, ''])
    const rows: { name: string; used: number; max: number | null }[] = JSON.parse(shown.out)
    expect(rows.map(({ name, used, max }) => [name, used, max]).sort()).toEqual([
      ['jobs', 1, null],
      ['user:u1', 3, 3],
    ])
    expect((await limits.take([{ ...user, cost: 1 }])).allowed).toBe(false)
    const reset = await run(['limit', 'reset', 'user:u1', '--tenant', 'acme'], env).ended
    expect([reset.code, reset.out]).toEqual([0, 'user:u1 counts from nothing again\n'])
    // What is remembered here of the denial is believed for a second.
    await eventually(async () => (await limits.take([{ ...user, cost: 1 }])).allowed, {
      what: 'it counts anew',
    })
    const again = await run(['limit', 'reset', 'unheard-of', '--tenant', 'acme', '--json'], env).ended
    expect(JSON.parse(again.out)).toEqual({ name: 'unheard-of', reset: false })
    const none = await run(['limit', 'show', 'unheard-of', '--tenant', 'acme'], env).ended
    expect(none.out).toBe('No limit of the tenant acme under "unheard-of" has counted anything.\n')
  }, 120_000)
})
