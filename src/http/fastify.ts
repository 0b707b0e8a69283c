import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { LimitSpec } from '../limits/limits.js'
import type { RateLimits } from '../limits/rate-limits.js'
import type { Verdict } from '../limits/verdict.js'
import { KeptLease } from './kept-lease.js'
import { PROBLEM_TYPE, problemHeaders, problemOf } from './problem.js'
import { rateLimited, rateLimitFields } from './rate-limit-fields.js'

/** Which limits a request counts against; none: it is not limited. */
export type LimitsOf = (request: FastifyRequest) => readonly LimitSpec[] | undefined

export interface RouteLimitsOptions {
  /** Whose limits: `spillway.tenant('acme').limits`, or a choice by request. */
  readonly limits: RateLimits | ((request: FastifyRequest) => RateLimits)
  /** Those of all routes that name none of their own. */
  readonly of?: LimitsOf | undefined
  /** Answers a denied request; default: 429 as a problem, with `Retry-After`. */
  readonly denied?: (request: FastifyRequest, reply: FastifyReply, verdict: Verdict) => unknown
}

/** A route's own limits, as `{ config: { limits } }`: a function, or `false` for none. */
export interface RouteLimits {
  readonly limits?: LimitsOf | false
}

/**
 * Limits the routes of a Fastify server that are added after it: `app.register(routeLimits, { limits, of })`. Every
 * answer says how the limits stand; leases of concurrency limits last as long as the request, and end with it.
 */
export async function routeLimits(app: FastifyInstance, options: RouteLimitsOptions): Promise<void> {
  const held = new WeakMap<FastifyRequest, KeptLease>()
  const { limits, of, denied = refuse } = options
  app.addHook('onRequest', async (request, reply) => {
    const own = (request.routeOptions.config as RouteLimits).limits
    const specs = own === false ? undefined : (own ?? of)?.(request)
    if (specs === undefined || specs.length === 0) return undefined
    const scope = typeof limits === 'function' ? limits(request) : limits
    const verdict = await scope.take(specs)
    reply.headers(rateLimitFields(verdict))
    if (!verdict.allowed) return denied(request, reply, verdict)
    if (verdict.lease !== null) held.set(request, new KeptLease(verdict))
    return undefined
  })
  const over = async (request: FastifyRequest) => {
    const lease = held.get(request)
    held.delete(request)
    await lease?.end()
  }
  app.addHook('onResponse', over)
  app.addHook('onRequestAbort', over)
}

function refuse(request: FastifyRequest, reply: FastifyReply, verdict: Verdict): FastifyReply {
  const error = rateLimited(verdict)
  const problem = Buffer.from(JSON.stringify(problemOf(error, request.raw.url)))
  return reply.code(error.status).headers(problemHeaders(error)).type(PROBLEM_TYPE).send(problem)
}

// Of the server that it is registered on, not of a scope within that.
Object.assign(routeLimits, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'spillway-limits',
})
