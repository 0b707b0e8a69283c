import type { ServerResponse } from 'node:http'
import { Type } from '@sinclair/typebox'
import { SpillwayError } from '../../errors.js'
import { LOCK_LIMITS } from '../../locks/locks.js'
import { lockBusy } from '../../locks/tenant-locks.js'
import type { Spillway } from '../../spillway.js'
import { type Endpoint, endpoint } from '../endpoint.js'
import { parseJson } from '../json.js'
import { LeaseAnswer, LockAnswer, name, ProblemAnswer } from '../schemas.js'

const { shortestMs, longestMs, longestWaitMs } = LOCK_LIMITS

const LockParams = Type.Object({ name: name('lock', 'Name of the lock, as the tenant gives it.') })
const TtlMs = Type.Integer({
  minimum: shortestMs,
  maximum: longestMs,
  description: 'How long the lease may be counted on, from before the request was sent.',
})
const Fence = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'The lease’s own number, as it was answered.',
})
const REFUSED = { schema: ProblemAnswer, type: 'application/problem+json' }
const LOST = { says: 'It is not held under this fence (any more).', ...REFUSED }

/** Locks for programs that do not use the library; and for administrators, of their own tenant. */
export function lockEndpoints(spillway: Spillway): Endpoint[] {
  return [
    endpoint({
      method: 'POST',
      path: '/v1/locks/{name}',
      id: 'acquireLock',
      says: 'Acquires a lock, after those who have waited longer. A caller that hangs up waits no more.',
      scope: 'locks',
      params: LockParams,
      body: Type.Object(
        {
          ttlMs: TtlMs,
          waitMs: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: longestWaitMs,
              description: 'How long to wait while others hold it; default 0.',
            }),
          ),
          holder: Type.Optional(name('holder', 'Who holds it, for people; default: the caller’s user.')),
        },
        { $id: 'LockWish', additionalProperties: false },
      ),
      answers: {
        201: { says: 'The lease. Renew it before it ends.', schema: LeaseAnswer },
        409: { says: 'Others hold it, or are before the caller.', ...REFUSED },
        429: { says: 'Too many wait for it.', ...REFUSED },
      },
      run: async ({ principal, params, body, reply }) => {
        const { locks } = spillway.tenant(principal.tenant)
        const { user } = principal
        const gone = goneSignal(reply.raw)
        const holder = body.holder ?? user ?? undefined
        const got = await locks.acquire(params.name, { ...body, holder, signal: gone })
        if ('busy' in got) throw lockBusy(params.name, got.busy)
        const { lease } = got
        // Granted to nobody: an answer that could not be written. What fails ends by itself.
        gone.addEventListener('abort', () => void lease.release().catch(() => undefined))
        reply.code(201).header('cache-control', 'no-store')
        return leaseAnswer(params.name, lease.fence, body.ttlMs, lease.leftMs)
      },
    }),
    endpoint({
      method: 'PUT',
      path: '/v1/locks/{name}',
      id: 'renewLock',
      says: 'Renews a lease. An earlier end is never made of a later one.',
      scope: 'locks',
      params: LockParams,
      body: Type.Object(
        { fence: Fence, ttlMs: Type.Optional(TtlMs) },
        { $id: 'LockRenewal', additionalProperties: false },
      ),
      answers: { 200: { says: 'The lease.', schema: LeaseAnswer }, 409: LOST },
      run: async ({ principal, params, body }) => {
        const { locks } = spillway.tenant(principal.tenant)
        const renewed = await locks.renew(params.name, body.fence, body.ttlMs)
        if (!renewed) throw lockLost(params.name, body.fence)
        return leaseAnswer(params.name, body.fence, renewed.ttlMs, renewed.leftMs)
      },
    }),
    endpoint({
      method: 'DELETE',
      path: '/v1/locks/{name}',
      id: 'releaseLock',
      says: 'Releases a lock. The fence stands in the query, or in a JSON body as `{"fence":…}`.',
      scope: 'locks',
      params: LockParams,
      query: Type.Object({ fence: Type.Optional(Fence) }),
      answers: { 204: { says: 'It is free for the next.' }, 409: LOST },
      run: async ({ principal, params, query, text, reply }) => {
        const fence = query.fence ?? fenceIn(text)
        const { locks } = spillway.tenant(principal.tenant)
        if (!(await locks.release(params.name, fence))) throw lockLost(params.name, fence)
        return reply.code(204).send()
      },
    }),
    endpoint({
      method: 'GET',
      path: '/v1/admin/locks',
      id: 'locks',
      says: 'Lists the locks of this tenant that are held: by whom, since when, and how many wait. Order: by name.',
      scope: 'admin',
      query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })) }),
      answers: { 200: { says: 'The locks.', schema: Type.Array(LockAnswer) } },
      run: ({ principal, query }) => spillway.tenant(principal.tenant).locks.list(query),
    }),
    endpoint({
      method: 'DELETE',
      path: '/v1/admin/locks/{name}',
      id: 'breakLock',
      says: 'Takes a lock from its holder. Tables that ask spillway.fence_ok refuse its writes from now on.',
      scope: 'admin',
      params: LockParams,
      answers: {
        204: { says: 'It is free for the next.' },
        404: { says: 'Nobody holds it.', ...REFUSED },
      },
      run: async ({ principal, params, reply }) => {
        if (!(await spillway.tenant(principal.tenant).locks.break(params.name)))
          throw new SpillwayError('NOT_FOUND', `Nobody holds the lock "${params.name}"`)
        return reply.code(204).send()
      },
    }),
  ]
}

/** Fires when the connection is closed before the whole answer was written. */
function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  return gone.signal
}

function leaseAnswer(lock: string, fence: number, ttlMs: number, leftMs: number) {
  return { name: lock, fence, ttlMs, expiresAt: new Date(Date.now() + leftMs).toISOString() }
}

function lockLost(lock: string, fence: number): SpillwayError {
  return new SpillwayError('LOCK_LOST', `The lock "${lock}" is not held under fence ${fence}`)
}

function fenceIn(text: string): number {
  const body = text === '' ? undefined : parseJson(text)
  const { fence }: { fence?: unknown } = typeof body === 'object' && body !== null ? body : {}
  if (typeof fence === 'number') return fence
  throw new SpillwayError('INVALID_ARGUMENT', 'fence is needed, in the query or in a JSON body')
}
