import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.js'
import { type Answer, type Running, start } from './running.js'

describe('locks over HTTP', () => {
  let running: Running
  beforeAll(async () => {
    running = await start()
  })
  afterAll(() => running.stop())

  const path = (lock: string) => `/v1/locks/${encodeURIComponent(lock)}`
  const acquire = (lock: string, body: object = {}, headers: Record<string, string> = {}) =>
    running.call('POST', path(lock), { body: { ttlMs: 30_000, ...body }, headers })
  const waiting = async () => {
    const { text } = await running.call('GET', '/v1/admin/locks')
    return (JSON.parse(text) as { waiting: number }[]).reduce((sum, one) => sum + one.waiting, 0)
  }

  it('are acquired, renewed and released by their fence', async () => {
    const lock = `flow:${randomUUID()}/ü`
    const got = await acquire(lock, { ttlMs: 10_000 })
    expect(got.status).toBe(201)
    expect(got.headers.get('cache-control')).toBe('no-store')
    expect(got.json).toMatchObject({ name: lock, fence: expect.any(Number), ttlMs: 10_000 })
    const left = Date.parse(String(got.json.expiresAt)) - Date.now()
    expect(left).toBeGreaterThan(5000)
    expect(left).toBeLessThanOrEqual(10_000)
    const { fence } = got.json
    const renewed = await running.call('PUT', path(lock), { body: { fence, ttlMs: 60_000 } })
    expect(renewed.status).toBe(200)
    expect(Date.parse(String(renewed.json.expiresAt)) - Date.now()).toBeGreaterThan(50_000)
    expect((await running.call('PUT', path(lock), { body: { fence } })).json).toMatchObject({ ttlMs: 60_000 })
    for (const other of [Number(fence) + 1, Number(fence) - 1]) {
      expectProblem(await running.call('PUT', path(lock), { body: { fence: other } }), 409, 'LOCK_LOST')
      expectProblem(await running.call('DELETE', `${path(lock)}?fence=${other}`), 409, 'LOCK_LOST')
    }
    expect((await running.call('DELETE', `${path(lock)}?fence=${fence}`)).status).toBe(204)
    expectProblem(await running.call('PUT', path(lock), { body: { fence } }), 409, 'LOCK_LOST')
    const again = await acquire(lock)
    expect(again.json.fence).toBeGreaterThan(fence as number)
    expect((await running.call('DELETE', path(lock), { body: { fence: again.json.fence } })).status).toBe(204)
    expectProblem(await running.call('DELETE', path(lock)), 400, 'INVALID_ARGUMENT')
    expectProblem(await running.call('DELETE', path(lock), { body: [] }), 400, 'INVALID_ARGUMENT')
  })

  it('are busy for others, who may wait', async () => {
    const lock = randomUUID()
    const { json } = await acquire(lock, { holder: 'Ann' })
    const busy = await acquire(lock)
    expectProblem(busy, 409, 'LOCK_BUSY')
    expect(busy.json.detail).toContain('Ann')
    expect(busy.headers.get('retry-after')).toBe('1')
    expectProblem(await acquire(lock, { waitMs: 100 }), 409, 'LOCK_BUSY')
    const waits = acquire(lock, { waitMs: 20_000 })
    await eventually(async () => (await waiting()) === 1, { what: 'it waits' })
    await running.call('DELETE', `${path(lock)}?fence=${json.fence}`)
    expect((await waits).status).toBe(201)
  })

  it('are not kept for a caller that hung up', async () => {
    const lock = randomUUID()
    const { json } = await acquire(lock)
    const hangUp = new AbortController()
    const waits = fetch(running.url + path(lock), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ttlMs: 60_000, waitMs: 60_000 }),
      signal: hangUp.signal,
    }).catch(() => 'hung up')
    await eventually(async () => (await waiting()) === 1, { what: 'it waits' })
    hangUp.abort()
    expect(await waits).toBe('hung up')
    await eventually(async () => (await waiting()) === 0, { what: 'it waits no more' })
    await running.call('DELETE', `${path(lock)}?fence=${json.fence}`)
    expect((await acquire(lock)).status).toBe(201)
  })

  it('have bounds that the refusal names', async () => {
    for (const [body, part] of [
      [{ ttlMs: 60_001 }, '60000'],
      [{ ttlMs: 99 }, '100'],
      [{ waitMs: 3_600_001 }, '3600000'],
    ] as const) {
      const refused = await acquire('bounds', body)
      expectProblem(refused, 400, 'INVALID_ARGUMENT')
      expect(refused.json.detail).toContain(part)
    }
    expectProblem(await acquire('x'.repeat(257)), 400, 'INVALID_NAME')
    expectProblem(await acquire('a\nb'), 400, 'INVALID_NAME')
  })

  it('are listed and broken by an administrator of the tenant, and of no other', async () => {
    const acme = { 'x-spillway-tenant': 'acme' }
    const lock = randomUUID()
    const { json } = await acquire(lock, { holder: 'Ann' }, acme)
    const list = async (headers: Record<string, string>) =>
      JSON.parse((await running.call('GET', '/v1/admin/locks?limit=1000', { headers })).text)
    expect(await list(acme)).toEqual([
      {
        ...{ name: lock, holder: 'Ann', fence: json.fence, waiting: 0 },
        since: expect.stringMatching(/^\d{4}-/),
        leftMs: expect.any(Number),
      },
    ])
    const other = { 'x-spillway-tenant': 'other' }
    expect(await list(other)).toEqual([])
    const broken = `/v1/admin/locks/${lock}`
    expectProblem(await running.call('DELETE', broken, { headers: other }), 404, 'NOT_FOUND')
    expect((await running.call('DELETE', broken, { headers: acme })).status).toBe(204)
    expect(await list(acme)).toEqual([])
    expectProblem(
      await running.call('PUT', path(lock), { body: { fence: json.fence }, headers: acme }),
      409,
      'LOCK_LOST',
    )
  })

  it('are counted for Prometheus', async () => {
    const { text } = await running.call('GET', '/metrics')
    expect(text).toMatch(/^spillway_locks_total\{outcome="granted"\} [1-9]/m)
    expect(text).toMatch(/^spillway_locks_held \d/m)
  })
})

function expectProblem(answer: Answer, status: number, code: string): void {
  expect([answer.status, answer.json.code]).toEqual([status, code])
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
}
