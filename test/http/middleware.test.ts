import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { rateLimit } from 'express-rate-limit'
import fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SpillwayStore } from '../../src/http/express-rate-limit.js'
import { routeLimits } from '../../src/http/fastify.js'
import { Spillway } from '../../src/index.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'

let database: FreshDatabase
let spillway: Spillway
beforeAll(async () => {
  database = await freshDatabase()
  spillway = await Spillway.open({ postgres: database.url })
})
afterAll(async () => {
  await spillway.close()
  await database.drop()
})

describe('the plugin for Fastify', () => {
  it('limits routes, says so in their answers, and ends leases with the request', async () => {
    const app = fastify()
    let go: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      go = resolve
    })
    await app.register(routeLimits, {
      limits: (request) => spillway.tenant(String(request.headers['x-tenant'] ?? 'acme')).limits,
      of: ({ ip }) => [{ name: `ip:${ip}`, max: 2, perMs: 60_000 }],
    })
    app.get('/plain', async () => 'yes')
    app.get('/free', { config: { limits: false } }, async () => 'yes')
    const perMs = 1200
    const one = () => [{ name: 'exports', max: 1, perMs, algorithm: 'concurrency' as const }]
    app.get('/export', { config: { limits: one } }, async ({ query }) => {
      if ((query as { wait?: string }).wait) await held
      return 'yes'
    })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const get = async (path: string, headers = {}) => {
      const answer = await fetch(`${url}${path}`, { headers })
      return { status: answer.status, headers: answer.headers, text: await answer.text() }
    }
    try {
      const first = await get('/plain')
      expect([first.status, first.headers.get('ratelimit')]).toEqual([200, '"ip:127.0.0.1";r=1;t=60'])
      await get('/plain')
      const denied = await get('/plain')
      expect(denied.status).toBe(429)
      expect(denied.headers.get('content-type')).toBe('application/problem+json')
      expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(50)
      expect(JSON.parse(denied.text)).toMatchObject({ code: 'RATE_LIMITED', status: 429 })
      expect((await get('/plain', { 'x-tenant': 'other' })).status).toBe(200)
      const free = await get('/free')
      expect([free.status, free.headers.get('ratelimit')]).toEqual([200, null])
      // One at a time, however long they take and however they end.
      const waiting = get('/export?wait=1')
      await eventually(async () => (await get('/export')).status === 429, { what: 'the first one is at it' })
      const began = performance.now()
      await eventually(() => performance.now() > began + perMs, { what: 'a lease has ended by itself' })
      expect((await get('/export')).status).toBe(429)
      go()
      expect((await waiting).status).toBe(200)
      await eventually(async () => (await get('/export')).status === 200, { what: 'its lease has ended' })
    } finally {
      go()
      await app.close()
    }
  })
})

describe('the store of express-rate-limit', () => {
  let server: Server | undefined
  afterAll(() => void server?.close())

  it('counts for the real middleware: hits, the end of the window, what is taken back, and keys of any kind', async () => {
    const app = express()
    const store = new SpillwayStore({ limits: spillway.tenant('express').limits })
    app.use(
      rateLimit({
        windowMs: 60_000,
        limit: 2,
        standardHeaders: 'draft-8',
        legacyHeaders: false,
        store,
        keyGenerator: (request) => String(request.headers['x-key']),
        requestWasSuccessful: (_, response) => response.statusCode < 300,
        skipFailedRequests: true,
      }),
    )
    app.get('/ok', (_, response) => void response.send('yes'))
    app.get('/fails', (_, response) => void response.status(500).send('no'))
    server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const get = (path: string, key: string) =>
      fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'x-key': key } })
    for (const key of ['1.2.3.4', `odd "key" {}%`, 'k'.repeat(500)]) {
      const first = await get('/ok', key)
      expect([first.status, first.headers.get('ratelimit')]).toEqual([
        200,
        expect.stringMatching(/r=1; t=60/),
      ])
      expect((await get('/ok', key)).status).toBe(200)
      const denied = await get('/ok', key)
      expect([denied.status, Number(denied.headers.get('retry-after')) > 50]).toEqual([429, true])
      const hits = await store.get(key)
      expect(hits?.resetTime?.getTime()).toBeGreaterThan(Date.now() + 50_000)
      // The denied one is counted, and as a failed one taken back.
      await eventually(async () => (await store.get(key))?.totalHits === 2, { what: 'it is taken back' })
      await store.resetKey(key)
      expect(await store.get(key)).toBeUndefined()
      for (let i = 0; i < 5; i++) {
        expect((await get('/fails', key)).status).toBe(500)
        await eventually(async () => (await store.get(key)) === undefined, {
          what: 'a failed one is not counted',
        })
      }
    }
  })

  it('tells limiters apart by their prefix', async () => {
    const [a, b] = ['a:', 'b:'].map((prefix) => {
      const store = new SpillwayStore({ limits: spillway.limits, prefix })
      store.init({ windowMs: 86_400_000 })
      return store
    }) as [SpillwayStore, SpillwayStore]
    expect((await a.increment('k')).totalHits).toBe(1)
    expect((await a.increment('k')).totalHits).toBe(2)
    expect((await b.increment('k')).totalHits).toBe(1)
    await a.decrement('k')
    expect((await a.get('k'))?.totalHits).toBe(1)
  })
})
