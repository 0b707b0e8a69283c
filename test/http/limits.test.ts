import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/access/keys.js'
import { rateLimitFields } from '../../src/http/rate-limit-fields.js'
import { Verdict } from '../../src/limits/verdict.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type Answer, type Running, start } from './running.js'

const limit = (name: string, over: object = {}) => ({ name, max: 3, perMs: 60_000, ...over })

describe('limits over HTTP', () => {
  let database: FreshDatabase
  let running: Running
  beforeAll(async () => {
    database = await freshDatabase()
    running = await start({ databaseUrl: database.url })
  })
  afterAll(async () => {
    await running.stop()
    await database.drop()
  })

  const take = (limits: unknown, tenant = 'acme'): Promise<Answer> =>
    running.call('POST', '/v1/limits/take', { body: { limits }, headers: { 'x-spillway-tenant': tenant } })

  it('says how they stand, and when to come back', async () => {
    const first = await take([limit('user:u1', { cost: 2 }), limit('tenant', { max: 10 })])
    expect(first.status).toBe(200)
    expect(first.json).toMatchObject({
      allowed: true,
      remaining: 1,
      retryAfterMs: 0,
      decidedBy: 'postgres',
      lease: null,
      limits: [
        { name: 'user:u1', algorithm: 'fixed', max: 3, perMs: 60_000, allowed: true, remaining: 1 },
        { name: 'tenant', remaining: 9 },
      ],
    })
    expect(first.headers.get('ratelimit-policy')).toBe('"user:u1";q=3;w=60, "tenant";q=10;w=60')
    expect(first.headers.get('ratelimit')).toMatch(/^"user:u1";r=1;t=60, "tenant";r=9;t=60$/)
    expect(first.headers.get('retry-after')).toBeNull()

    const denied = await take([limit('user:u1', { cost: 2 }), limit('tenant', { max: 10 })])
    expect(denied.status).toBe(429)
    expect(denied.headers.get('content-type')).toBe('application/problem+json')
    expect(denied.json).toMatchObject({
      code: 'RATE_LIMITED',
      status: 429,
      detail: 'Used up: "user:u1"',
      allowed: false,
      limits: [
        { name: 'user:u1', allowed: false, remaining: 1 },
        { name: 'tenant', allowed: true, remaining: 9 },
      ],
    })
    const seconds = Number(denied.headers.get('retry-after'))
    expect(seconds).toBeGreaterThan(50)
    expect(seconds).toBeLessThanOrEqual(60)
    expect(denied.headers.get('ratelimit')).toBe(`"user:u1";r=1;t=${seconds}, "tenant";r=9;t=60`)
    // Another tenant's limit of that name is another one.
    expect((await take([limit('user:u1', { cost: 2 })], 'other')).status).toBe(200)
  })

  it('gives leases by an id, and ends them by it', async () => {
    const jobs = [limit('jobs', { max: 1, algorithm: 'concurrency' }), limit('rate', { max: 100 })]
    const held = await take(jobs)
    expect(held.headers.get('ratelimit-policy')).toBe(
      '"jobs";q=1;qu="concurrent-requests", "rate";q=100;w=60',
    )
    expect((await take(jobs)).status).toBe(429)
    const renew = (limits: readonly object[], tenant = 'acme') =>
      running.call('POST', '/v1/limits/renew', {
        body: { lease: held.json.lease, limits },
        headers: { 'x-spillway-tenant': tenant },
      })
    expect((await renew(jobs, 'other')).json).toEqual({ renewed: false })
    expect((await renew(jobs)).json).toEqual({ renewed: true })
    expect(await renew([limit('rate')])).toMatchObject({ status: 400, json: { code: 'INVALID_ARGUMENT' } })
    const body = { lease: held.json.lease, names: ['jobs'] }
    const release = (tenant: string) =>
      running.call('POST', '/v1/limits/release', { body, headers: { 'x-spillway-tenant': tenant } })
    expect((await release('other')).json).toEqual({ released: false })
    expect((await take(jobs)).status).toBe(429)
    expect((await release('acme')).json).toEqual({ released: true })
    expect((await release('acme')).json).toEqual({ released: false })
    expect((await renew(jobs)).json).toEqual({ renewed: false })
    expect((await take(jobs)).status).toBe(200)
  })

  it.each([
    ['none', [], 'INVALID_ARGUMENT'],
    ['too many', Array.from({ length: 17 }, (_, i) => limit(`n${i}`)), 'INVALID_ARGUMENT'],
    ['one twice', [limit('a'), limit('a')], 'INVALID_ARGUMENT'],
    ['an unknown algorithm', [limit('a', { algorithm: 'x' })], 'INVALID_ARGUMENT'],
    ['an unknown policy', [limit('a', { whenAway: 'x' })], 'INVALID_ARGUMENT'],
    ['a cost that could never pass', [limit('a', { cost: 4 })], 'INVALID_ARGUMENT'],
    ['a negative cost', [limit('a', { cost: -1 })], 'INVALID_ARGUMENT'],
    ['half a request', [limit('a', { cost: 0.5 })], 'INVALID_ARGUMENT'],
    ['no requests', [limit('a', { max: 0 })], 'INVALID_ARGUMENT'],
    ['too many requests', [limit('a', { max: 1_000_000_001 })], 'INVALID_ARGUMENT'],
    ['too many entries', [limit('a', { max: 10_001, algorithm: 'sliding-log' })], 'INVALID_ARGUMENT'],
    ['too long a window', [limit('a', { perMs: 2_678_400_001 })], 'INVALID_ARGUMENT'],
    ['numbers beyond a double', [limit('a', { max: 1e9, perMs: 1e9 })], 'INVALID_ARGUMENT'],
    ['no name', [limit('')], 'INVALID_NAME'],
    ['a name with a line break', [limit('a\nb')], 'INVALID_NAME'],
    ['a long name', [limit('é'.repeat(129))], 'INVALID_NAME'],
    ['a reserved name', [limit('spillway.api')], 'INVALID_NAME'],
    ['something else', [limit('a', { more: 1 })], 'INVALID_ARGUMENT'],
  ])('refuses %s', async (_, limits, code) => {
    const answer = await take(limits)
    expect([answer.status, answer.json.code]).toEqual([400, code])
  })

  it('shows and forgets them to administrators', async () => {
    const as = { 'x-spillway-tenant': 'admin-of' }
    await take([limit('a b/c', { cost: 3 }), limit('leases', { algorithm: 'concurrency' })], 'admin-of')
    const all = await running.call('GET', '/v1/admin/limits', { headers: as })
    expect(all.json.next).toBeNull()
    expect(all.json.limits).toEqual([
      { name: 'a b/c', algorithm: 'fixed', max: 3, perMs: 60_000, used: 3, resetMs: expect.any(Number) },
      {
        name: 'leases',
        algorithm: 'concurrency',
        max: 3,
        perMs: 60_000,
        used: 1,
        resetMs: expect.any(Number),
      },
      {
        name: 'spillway.api',
        algorithm: 'fixed',
        max: 3_000_000,
        perMs: 60_000,
        used: 30_000,
        resetMs: expect.any(Number),
      },
      ...['limits', 'takeLimits'].map((id) =>
        expect.objectContaining({ name: `spillway.api.endpoint:${id}`, used: 15_000 }),
      ),
    ])
    const path = `/v1/admin/limits/${encodeURIComponent('a b/c')}`
    expect((await take([limit('a b/c')], 'admin-of')).status).toBe(429)
    expect((await running.call('DELETE', path, { headers: as })).json).toEqual({ reset: true })
    expect((await running.call('DELETE', path, { headers: as })).json).toEqual({ reset: false })
    expect((await take([limit('a b/c')], 'admin-of')).status).toBe(200)
  })

  it('counts its decisions for Prometheus', async () => {
    for (let i = 0; i < 3; i++) await take([limit('once', { max: 1 })])
    const { text } = await running.call('GET', '/metrics')
    expect(text).toMatch(/^spillway_limit_decisions_total\{by="postgres",verdict="allowed"\} \d+$/m)
    expect(text).toMatch(/^spillway_limit_decisions_total\{by="memory",verdict="denied"\} \d+$/m)
  })
})

describe('the API under its own limits', () => {
  let running: Running
  let keys: ApiKeys
  let database: FreshDatabase
  beforeAll(async () => {
    database = await freshDatabase()
    running = await start({
      databaseUrl: database.url,
      auth: 'keys',
      apiLimitTenant: 12,
      apiLimitEndpoint: 5,
      apiLimitUser: 100,
    })
    keys = new ApiKeys(running.spillway.database)
  })
  afterAll(async () => {
    await running.stop()
    await database.drop()
  })

  const bearer = async (tenant: string, scopes: readonly string[]) => ({
    authorization: `Bearer ${(await keys.create({ tenant, scopes })).key}`,
  })

  it('takes so many requests of a tenant and an endpoint a minute, and no more', async () => {
    const headers = await bearer('busy', ['subscribe', 'publish', 'limits', 'admin'])
    const get = (path: string) => running.call('GET', path, { headers })
    const several = (path: string, count: number) =>
      Promise.all(Array.from({ length: count }, () => get(path)))
    const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).sort()
    expect(statuses(await several('/v1/flows', 7))).toEqual([200, 200, 200, 200, 200, 429, 429])
    const denied = await get('/v1/flows')
    expect(denied.json).toMatchObject({
      code: 'RATE_LIMITED',
      detail: 'Used up: "spillway.api.endpoint:flows"',
    })
    expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(50)
    expect(denied.headers.get('ratelimit')).toMatch(/"spillway.api.endpoint:flows";r=0;t=\d+/)
    // All endpoints together.
    await several('/v1/flows/x/events', 5)
    const rest = await several('/v1/admin/keys', 4)
    expect(statuses(rest)).toEqual([200, 200, 429, 429])
    expect(rest.find(({ status }) => status === 429)?.json.detail).toBe('Used up: "spillway.api"')
    // Neither the health of the server nor another tenant is counted in.
    for (const { status } of await several('/livez', 20)) expect(status).toBe(200)
    const other = await running.call('GET', '/v1/flows', { headers: await bearer('calm', ['subscribe']) })
    expect(other.status).toBe(200)
  })

  it('lets no administrator lift what the operator has put on the tenant', async () => {
    const path = `/v1/admin/limits/${encodeURIComponent('spillway.api')}`
    const admin = await bearer('lifted', ['admin'])
    expect((await running.call('DELETE', path, { headers: admin })).json.code).toBe('FORBIDDEN')
    const operator = await bearer('lifted', ['admin', 'operate'])
    expect((await running.call('DELETE', path, { headers: operator })).json).toEqual({ reset: true })
    const without = await bearer('lifted', ['publish', 'subscribe'])
    const body = { limits: [limit('a')] }
    const refused = await running.call('POST', '/v1/limits/take', { body, headers: without })
    expect([refused.status, refused.json.code]).toEqual([403, 'FORBIDDEN'])
  })
})

it('writes names that no header can hold in a form that one can', () => {
  const one = (name: string) => ({
    name,
    algorithm: 'fixed' as const,
    max: 1,
    perMs: 1500,
    allowed: true,
    remaining: 1,
    retryAfterMs: 0,
    resetMs: 0,
  })
  const fields = rateLimitFields(new Verdict(true, [one('a"b\\c'), one('é%😀')], 'redis'))
  expect(fields['ratelimit-policy']).toBe('"a\\"b\\\\c";q=1;w=2, "%C3%A9%25%F0%9F%98%80";q=1;w=2')
  expect(fields.ratelimit).toBe('"a\\"b\\\\c";r=1;t=0, "%C3%A9%25%F0%9F%98%80";r=1;t=0')
})
