import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { exportJWK, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/access/keys.js'
import type { Config } from '../../src/config.js'
import { callerOf } from '../../src/http/caller.js'
import { type Running, start } from '../http/running.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { openStream } from '../support/sse.js'

let database: FreshDatabase
beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())

const on = (config: Partial<Config>) => start({ databaseUrl: database.url, ...config })
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const EVENT = { type: 't', payload: 1 }

describe('keys', () => {
  let running: Running
  let keys: ApiKeys
  beforeAll(async () => {
    running = await on({ auth: 'keys' })
    keys = new ApiKeys(running.spillway.database)
  })
  afterAll(() => running.stop())

  it('let in whom they are of, to what they are for', async () => {
    const { key } = await keys.create({ tenant: 'acme', scopes: ['publish'] })
    const made = await running.call('POST', '/v1/flows/k/events', { body: EVENT, ...bearer(key) })
    expect(made.status).toBe(201)
    const read = await running.call('GET', '/v1/flows/k/events', bearer(key))
    expect([read.status, read.json.code]).toEqual([403, 'FORBIDDEN'])

    const reader = await keys.create({ tenant: 'acme', scopes: ['subscribe'] })
    const other = await keys.create({ tenant: 'other', scopes: ['subscribe'] })
    const seen = async (token: string) =>
      (
        await running.call('GET', '/v1/flows/k/events?tenant=acme', {
          headers: { ...bearer(token).headers, 'x-spillway-tenant': 'acme' },
        })
      ).json.events
    expect(await seen(reader.key)).toHaveLength(1)
    expect(await seen(other.key)).toHaveLength(0)
  })

  it('are needed by everything but the health of the server and its documentation', async () => {
    for (const path of [
      '/v1/flows',
      '/v1/flows/a/stream',
      '/v1/stream?flows=a',
      '/v1/admin/keys',
      '/v1/flows/a/state',
    ]) {
      const { status, json, headers } = await running.call('GET', path)
      expect([path, status, json.code]).toEqual([path, 401, 'UNAUTHENTICATED'])
      expect(headers.get('www-authenticate')).toMatch(/^Bearer/)
    }
    for (const path of ['/livez', '/readyz', '/openapi.json'])
      expect((await running.call('GET', path)).status).toBe(200)
  })

  it('are refused when anything in them is wrong', async () => {
    const { key } = await keys.create({ tenant: 'acme', scopes: ['subscribe'] })
    const [, id] = key.split('_')
    const wrong = [
      '',
      'x',
      key.slice(0, -1),
      `${key}x`,
      key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A'),
      `spw_${'0'.repeat(16)}_${'A'.repeat(43)}`,
      `spw_${id}_${'A'.repeat(43)}`,
    ]
    for (const token of wrong)
      expect((await running.call('GET', '/v1/flows', bearer(token))).status).toBe(401)
    const basic = await running.call('GET', '/v1/flows', { headers: { authorization: `Basic ${key}` } })
    expect(basic.status).toBe(401)
  })

  it('are made, listed and revoked by an administrator of the tenant', async () => {
    const admin = await keys.create({ tenant: 'acme', scopes: ['admin'] })
    const made = await running.call('POST', '/v1/admin/keys', {
      body: { scopes: ['subscribe'], name: 'page' },
      ...bearer(admin.key),
    })
    expect([made.status, made.json.tenant, made.json.scopes]).toEqual([201, 'acme', ['subscribe']])
    const token = String(made.json.key)
    expect((await running.call('GET', '/v1/flows', bearer(token))).status).toBe(200)
    const list = await running.call('GET', '/v1/admin/keys', bearer(admin.key))
    expect(list.text).toContain(String(made.json.id))
    // The secret is base64url: it may have an underscore itself.
    expect(list.text).not.toContain(token.split('_').slice(2).join('_'))

    const foreign = await keys.create({ tenant: 'other', scopes: ['admin'] })
    const stolen = await running.call('DELETE', `/v1/admin/keys/${made.json.id}`, bearer(foreign.key))
    expect([stolen.status, stolen.json.code]).toEqual([404, 'NOT_FOUND'])
    const gone = await running.call('DELETE', `/v1/admin/keys/${made.json.id}`, bearer(admin.key))
    expect([gone.status, gone.json.revoked_at]).toEqual([200, expect.any(String)])
    expect((await running.call('GET', '/v1/flows', bearer(token))).status).toBe(401)
  })

  it('that were revoked elsewhere end within 5 s', async () => {
    const { key, id } = await keys.create({ tenant: 'acme', scopes: ['subscribe'] })
    expect((await running.call('GET', '/v1/flows', bearer(key))).status).toBe(200)
    await keys.revoke('acme', id)
    await eventually(async () => (await running.call('GET', '/v1/flows', bearer(key))).status === 401, {
      withinMs: 5000,
    })
  })

  it('do not stand in the database', async () => {
    const { key } = await keys.create({ tenant: 'acme', scopes: ['subscribe'] })
    const secret = key.split('_').slice(2).join('_')
    const rows = await running.spillway.database.scoped('all', (tx) =>
      tx.query('SELECT * FROM spillway.api_keys'),
    )
    expect(JSON.stringify(rows)).not.toContain(secret)
  })
})

describe('jwt', () => {
  const secret = 'a secret of at least thirty-two bytes'
  const sign = (claims: Record<string, unknown>, key = secret, alg = 'HS256') =>
    new SignJWT(claims)
      .setProtectedHeader({ alg })
      .setExpirationTime('1h')
      .sign(new TextEncoder().encode(key))

  it('by a shared secret', async () => {
    const running = await on({ auth: 'jwt', jwtSecret: secret, jwtIssuer: 'us', jwtAudience: 'spillway' })
    try {
      const good = {
        tenant: 'acme',
        sub: 'u1',
        scope: 'subscribe publish unheard-of',
        iss: 'us',
        aud: 'spillway',
      }
      const status = async (token: string) => (await running.call('GET', '/v1/flows', bearer(token))).status
      expect(await status(await sign(good))).toBe(200)
      expect(await status(await sign({ ...good, scope: ['subscribe'] }))).toBe(200)
      expect(await status(await sign({ ...good, scope: 'publish' }))).toBe(403)
      expect(await status(await sign({ ...good, scope: undefined }))).toBe(403)
      const refused = [
        await sign(good, 'another secret of at least thirty-two bytes'),
        await sign(good, secret, 'HS384'),
        await sign({ ...good, iss: 'them' }),
        await sign({ ...good, aud: 'them' }),
        await sign({ ...good, tenant: undefined }),
        await sign({ ...good, tenant: 'a\u0000' }),
        await sign({ ...good, exp: 1 }).then((token) => token.replace(/\.[^.]*$/, '.')),
        await new SignJWT(good)
          .setProtectedHeader({ alg: 'HS256' })
          .setExpirationTime(1)
          .sign(new TextEncoder().encode(secret)),
        `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(good)).toString('base64url')}.`,
      ]
      for (const token of refused) expect(await status(token)).toBe(401)
    } finally {
      await running.stop()
    }
  })

  it('by a key set, which may be away for a while', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }
    let away = true
    const issuer = createServer((_, answer) => {
      answer
        .writeHead(away ? 503 : 200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ keys: [jwk] }))
    }).listen(0, '127.0.0.1')
    await once(issuer, 'listening')
    const address = issuer.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const running = await on({ auth: 'jwt', jwksUrl: `http://127.0.0.1:${port}/` })
    try {
      const token = await new SignJWT({ tenant: 'acme', scope: 'subscribe' })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
        .setExpirationTime('1h')
        .sign(privateKey)
      const unanswered = await running.call('GET', '/v1/flows', bearer(token))
      expect([unanswered.status, unanswered.json.code]).toEqual([503, 'KEYS_UNAVAILABLE'])
      away = false
      expect((await running.call('GET', '/v1/flows', bearer(token))).status).toBe(200)
      // The public key is public: taken as an HMAC secret, it would let anybody in.
      const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
      expect(
        (
          await running.call(
            'GET',
            '/v1/flows',
            bearer(await sign({ tenant: 'acme', scope: 'subscribe' }, pem)),
          )
        ).status,
      ).toBe(401)
    } finally {
      await running.stop()
      issuer.close()
    }
  })

  it.each([
    [{ auth: 'jwt' }, 'SPILLWAY_JWT_SECRET'],
    [{ auth: 'jwt', jwtSecret: 'short' }, '32 bytes'],
    [{ auth: 'jwt', jwksUrl: 'nowhere' }, 'SPILLWAY_JWKS_URL'],
    [{ auth: 'none', host: '0.0.0.0' }, 'SPILLWAY_AUTH'],
    [{ auth: 'none', host: '::' }, 'SPILLWAY_AUTH'],
  ] as const)('a server does not start with %j', async (config, named) => {
    await expect(on(config)).rejects.toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(named) }),
    )
  })
})

describe('tickets', () => {
  let first: Running
  let second: Running
  let key: string
  beforeAll(async () => {
    first = await on({ auth: 'keys' })
    second = await on({ auth: 'keys' })
    const keys = new ApiKeys(first.spillway.database)
    key = (await keys.create({ tenant: 'acme', scopes: ['subscribe'] })).key
  })
  afterAll(() => Promise.all([first.stop(), second.stop()]))

  const order = async (flows: readonly string[], ttlMs?: number) => {
    const { json, status } = await first.call('POST', '/v1/tickets', {
      body: { flows, ttlMs },
      ...bearer(key),
    })
    expect(status).toBe(200)
    return { ticket: String(json.ticket), expiresAt: Date.parse(String(json.expiresAt)) }
  }

  it('open the streams of their flows, on any instance', async () => {
    const { ticket, expiresAt } = await order(['a', 'b'])
    expect(expiresAt - Date.now()).toBeGreaterThan(14 * 60_000)
    for (const { url } of [first, second]) {
      for (const path of ['/v1/flows/a/stream?', '/v1/stream?flows=a,b&', '/v1/stream?flows=b&']) {
        const reader = await openStream(`${url}${path}ticket=${ticket}`)
        expect(reader.status).toBe(200)
        reader.close()
      }
    }
  })

  it('open nothing else', async () => {
    const { ticket } = await order(['a', 'b'])
    for (const path of ['/v1/flows/c/stream?', '/v1/stream?flows=a,c&']) {
      const { status, json } = await second.call('GET', `${path}ticket=${ticket}`)
      expect([path, status, json.code]).toEqual([path, 403, 'FORBIDDEN'])
    }
    for (const path of ['/v1/flows?', '/v1/flows/a/events?', '/v1/flows/a/state?']) {
      expect((await second.call('GET', `${path}ticket=${ticket}`)).status).toBe(401)
    }
  })

  it('are void when they are over or anything in them was changed', async () => {
    const { ticket, expiresAt } = await order(['a'], 1)
    await eventually(() => Date.now() > expiresAt)
    const status = async (text: string) =>
      (await second.call('GET', `/v1/flows/a/stream?ticket=${text}`)).status
    expect(await status(ticket)).toBe(401)

    const good = (await order(['a'])).ticket
    const [claims = '', flows = '', mac = ''] = good.split('.')
    const forged = Buffer.from(JSON.stringify(['other', null, Date.now() + 1e6])).toString('base64url')
    for (const text of [
      `${forged}.${flows}.${mac}`,
      `${claims}..${mac}`,
      `${claims}.${flows}.`,
      `${claims}.${flows}`,
      `${good}.x`,
      `${good}=`,
      '..',
      '',
      'x',
      '%F0',
    ]) {
      expect([400, 401]).toContain(await status(text))
    }
    for (let at = 0; at < good.length; at += 7) {
      const changed = good.slice(0, at) + (good[at] === 'A' ? 'B' : 'A') + good.slice(at + 1)
      expect(await status(changed)).toBe(401)
    }
  })

  it('are of the tenant of their key', async () => {
    await first.spillway.tenant('acme').flow('mine').publish('t', 'acme’s')
    await first.spillway.tenant('other').flow('mine').publish('t', 'other’s')
    const { ticket } = await order(['mine'])
    const reader = await openStream(
      `${second.url}/v1/flows/mine/stream?after=0&tenant=other&ticket=${ticket}`,
    )
    await reader.until(({ frames }) => frames.length === 1)
    expect(JSON.parse(reader.frames[0]?.data ?? '').payload).toBe('acme’s')
    reader.close()

    const open = await on({ auth: 'none' })
    const { status, json } = await open.call('GET', `/v1/flows/mine/stream?tenant=other&ticket=${ticket}`)
    expect([status, json.code]).toEqual([403, 'FORBIDDEN'])
    await open.stop()
  })

  it.each([
    [[], 1],
    [['a'], 0],
    [['a'], 86_400_001],
    [['a'], 1.5],
    [[''], 1],
    [Array.from({ length: 101 }, (_, n) => `f${n}`), 1],
  ])('are not made for %j', async (flows, ttlMs) => {
    const { status } = await first.call('POST', '/v1/tickets', { body: { flows, ttlMs }, ...bearer(key) })
    expect(status).toBe(400)
  })
})

describe('pages of other origins', () => {
  it('may call where the configuration lets them', async () => {
    const running = await on({ auth: 'none', corsOrigins: ['https://app.example'] })
    try {
      const headers = { origin: 'https://app.example' }
      const allowed = await running.call('GET', '/v1/flows', { headers })
      expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example')
      const preflight = await running.call('OPTIONS', '/v1/flows/a/stream', {
        headers: {
          ...headers,
          'access-control-request-method': 'GET',
          'access-control-request-headers': 'last-event-id,authorization,x-spillway-tenant',
        },
      })
      expect(preflight.status).toBe(204)
      expect(preflight.headers.get('access-control-allow-headers')?.toLowerCase()).toContain('last-event-id')
      const stream = await openStream(`${running.url}/v1/flows/a/stream`, { headers })
      expect(stream.headers['access-control-allow-origin']).toBe('https://app.example')
      stream.close()
      const other = await running.call('GET', '/v1/flows', { headers: { origin: 'https://other.example' } })
      expect([other.status, other.json.code]).toEqual([403, 'ORIGIN_NOT_ALLOWED'])
    } finally {
      await running.stop()
    }
  })
})

describe('plug-ins', () => {
  it('have the same callers, and know whose a request is', async () => {
    const running = await start({ databaseUrl: database.url, auth: 'keys' }, [
      async (app) => {
        app.get('/whose', async (request) => ({ tenant: callerOf(request).tenant }))
        app.post('/whose', async (request) => ({ tenant: callerOf(request).tenant }))
      },
    ])
    try {
      const keys = new ApiKeys(running.spillway.database)
      const { key } = await keys.create({ tenant: 'acme', scopes: ['subscribe'] })
      expect((await running.call('GET', '/whose')).status).toBe(401)
      expect((await running.call('GET', '/whose', bearer(key))).json).toEqual({ tenant: 'acme' })
      expect((await running.call('POST', '/whose', bearer(key))).status).toBe(403)
    } finally {
      await running.stop()
    }
  })
})
