import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type Link, startLink } from '../support/faults/link.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type SpillwayServer, spawnServer } from '../support/server.js'

interface Report {
  readonly number: number
  readonly store: string
  readonly instances: unknown
}

/** Beats of everybody in which nothing may have changed; a turn takes two. */
const BEATS = 6

describe('three servers, of which not all reach Redis', () => {
  let database: FreshDatabase
  let redis: RedisServer
  let links: Link[]
  let servers: SpillwayServer[]
  beforeAll(async () => {
    redis = await startRedis()
    database = await freshDatabase()
    links = await Promise.all([1, 2, 3].map(() => startLink(redis.url)))
    servers = await Promise.all(
      links.map(({ url }, i) =>
        spawnServer({ DATABASE_URL: database.url, REDIS_URL: url, SPILLWAY_INSTANCE_ID: `i${i}` }),
      ),
    )
  }, 60_000)
  afterAll(async () => {
    await Promise.all(servers?.map((server) => server.kill9()) ?? [])
    await Promise.all(links?.map((link) => link.close()) ?? [])
    await redis?.remove()
    await database?.drop()
  })

  const json = async (i: number, path: string) => {
    const answer = await fetch(`${servers[i]?.url}${path}`)
    return { status: answer.status, body: await answer.json() }
  }
  const term = async (i = 2) => (await json(i, '/v1/admin/term')).body as Report
  /** The store on which each is ready, or why it is not. */
  const ready = async () => {
    const answers = await Promise.all(servers.map((_, i) => json(i, '/readyz')))
    return answers.map(({ status, body }) => (status === 200 ? body.store : `${status} ${body.code}`))
  }
  const becomes = (expected: readonly string[]) =>
    eventually(async () => JSON.stringify(await ready()) === JSON.stringify(expected), {
      what: expected.join(', '),
      withinMs: 30_000,
      everyMs: 50,
    })
  /** Everybody has beaten once more: what it tells of the others is as of its last beat. */
  const beaten = () =>
    Promise.all(
      servers.map(async (_, i) => {
        const before = JSON.stringify((await term(i)).instances)
        await eventually(async () => JSON.stringify((await term(i)).instances) !== before, { everyMs: 20 })
      }),
    )

  it('leave the term alone while one cannot: it is unready instead; with the second they turn', {
    timeout: 240_000,
  }, async () => {
    await becomes(['redis', 'redis', 'redis'])
    const { number } = await term()
    links[0]?.blackHole()
    await becomes(['503 NOT_READY', 'redis', 'redis'])
    for (let i = 0; i < BEATS; i++) {
      await beaten()
      expect(await ready()).toEqual(['503 NOT_READY', 'redis', 'redis'])
      expect((await term()).number).toBe(number)
    }
    links[1]?.blackHole()
    await becomes(['postgres', 'postgres', 'postgres'])
    expect((await term()).number).toBe(number + 1)
  })
})
