import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { requireScope } from '../../access/principal.js'
import { MOST, MOST_LIMITS } from '../../limits/check.js'
import { ALGORITHMS, LONGEST_MS, POLICIES } from '../../limits/limits.js'
import type { Verdict } from '../../limits/verdict.js'
import type { Spillway } from '../../spillway.js'
import { type Endpoint, endpoint } from '../endpoint.js'
import { problemHeaders, problemOf } from '../problem.js'
import { rateLimited, rateLimitFields } from '../rate-limit-fields.js'
import { choice, name, ProblemAnswer } from '../schemas.js'

const LimitBody = Type.Object(
  {
    name: name('limit', 'Names that begin with `spillway.` are reserved.'),
    max: Type.Integer({ minimum: 1, maximum: MOST, description: 'Of entries at most 10,000.' }),
    perMs: Type.Integer({ minimum: 1, maximum: LONGEST_MS, description: 'The window, or the lease.' }),
    algorithm: Type.Optional(choice(ALGORITHMS, 'Default `fixed`.')),
    cost: Type.Optional(
      Type.Integer({ minimum: 0, maximum: MOST, description: 'Its weight; 0 only looks.' }),
    ),
    whenAway: Type.Optional(choice(POLICIES, 'What it answers when no store does; default `local`.')),
  },
  { additionalProperties: false },
)

const limitFields = {
  name: Type.String(),
  algorithm: choice(ALGORITHMS, 'How it counts.'),
  max: Type.Integer(),
  perMs: Type.Integer(),
  allowed: Type.Boolean({ description: 'Whether this limit alone would have let it pass.' }),
  remaining: Type.Integer(),
  retryAfterMs: Type.Integer(),
  resetMs: Type.Integer({ description: 'Until it is whole again, if nothing more is taken.' }),
}
const verdictFields = {
  allowed: Type.Boolean(),
  remaining: Type.Integer({ description: 'The least of all limits.' }),
  retryAfterMs: Type.Integer({ description: 'The greatest of all limits; 0 where it was allowed.' }),
  resetMs: Type.Integer(),
  limits: Type.Array(Type.Object(limitFields)),
  decidedBy: choice(['redis', 'postgres', 'memory', 'policy'], 'Who has decided.'),
  lease: Type.Union([Type.String(), Type.Null()], { description: 'Give it to `/v1/limits/release`.' }),
}
const VerdictAnswer = Type.Object(verdictFields, { $id: 'LimitVerdict' })
const DeniedAnswer = Type.Intersect([ProblemAnswer, Type.Object(verdictFields)], { $id: 'LimitDenial' })

const NameParams = Type.Object({ name: name('limit', 'Name of the limit.') })
const PageAnswer = Type.Object({
  limits: Type.Array(
    Type.Object({
      name: Type.String(),
      algorithm: choice(ALGORITHMS, 'How it counts.'),
      max: Type.Union([Type.Integer(), Type.Null()]),
      perMs: Type.Union([Type.Integer(), Type.Null()]),
      used: Type.Integer(),
      resetMs: Type.Integer(),
    }),
  ),
  next: Type.Union([Type.String(), Type.Null()], { description: 'Give it as `after` for the next page.' }),
})

export function limitEndpoints(spillway: Spillway): Endpoint[] {
  return [
    endpoint({
      method: 'POST',
      path: '/v1/limits/take',
      id: 'takeLimits',
      says: 'Takes from all of these limits, or from none, in one step.',
      scope: 'limits',
      body: Type.Object(
        { limits: Type.Array(LimitBody, { minItems: 1, maxItems: MOST_LIMITS }) },
        { additionalProperties: false },
      ),
      answers: {
        200: {
          says: 'It may pass; the state is in `RateLimit` and `RateLimit-Policy` too.',
          schema: VerdictAnswer,
        },
        429: {
          says: 'It may not: see `Retry-After`.',
          schema: DeniedAnswer,
          type: 'application/problem+json',
        },
      },
      run: async ({ principal, body, request, reply }) => {
        const verdict = await spillway.tenant(principal.tenant).limits.take(body.limits)
        reply.headers({ 'cache-control': 'no-store', ...rateLimitFields(verdict) })
        return verdict.allowed ? verdict : denied(reply, verdict, request.raw.url)
      },
    }),
    endpoint({
      method: 'POST',
      path: '/v1/limits/renew',
      id: 'renewLimits',
      says: 'Keeps the lease of concurrency limits for longer: for `perMs` of each from now on, by all or by none.',
      scope: 'limits',
      body: Type.Object(
        {
          lease: Type.String({ maxLength: 64, description: 'As the verdict has it.' }),
          limits: Type.Array(LimitBody, {
            minItems: 1,
            maxItems: MOST_LIMITS,
            description: 'As in that take; those without a lease are passed over.',
          }),
        },
        { additionalProperties: false },
      ),
      answers: {
        200: { says: 'Whether there was such a lease.', schema: Type.Object({ renewed: Type.Boolean() }) },
      },
      run: async ({ principal, body }) => ({
        renewed: await spillway.tenant(principal.tenant).limits.renew(body.lease, body.limits),
      }),
    }),
    endpoint({
      method: 'POST',
      path: '/v1/limits/release',
      id: 'releaseLimits',
      says: 'Ends the lease of concurrency limits before its time.',
      scope: 'limits',
      body: Type.Object(
        {
          lease: Type.String({ maxLength: 64, description: 'As the verdict has it.' }),
          names: Type.Array(name('limit', 'A concurrency limit of that take.'), {
            minItems: 1,
            maxItems: MOST_LIMITS,
          }),
        },
        { additionalProperties: false },
      ),
      answers: {
        200: { says: 'Whether there was such a lease.', schema: Type.Object({ released: Type.Boolean() }) },
      },
      run: async ({ principal, body }) => ({
        released: await spillway.tenant(principal.tenant).limits.release(body.lease, body.names),
      }),
    }),
    endpoint({
      method: 'GET',
      path: '/v1/admin/limits',
      id: 'limits',
      says: 'How the limits of this tenant stand that have counted something; in no order.',
      scope: 'admin',
      query: Type.Object({
        name: Type.Optional(name('limit', 'Only those under this name.')),
        after: Type.Optional(Type.String({ maxLength: 1024, description: '`next` of the page before.' })),
        limit: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 1000, description: 'About so many; default 100.' }),
        ),
      }),
      answers: { 200: { says: 'A page of them; it may be empty before the last.', schema: PageAnswer } },
      run: async ({ principal, query, reply }) => {
        reply.header('cache-control', 'no-store')
        return spillway.tenant(principal.tenant).limits.list(query)
      },
    }),
    endpoint({
      method: 'DELETE',
      path: '/v1/admin/limits/{name}',
      id: 'resetLimit',
      says: 'Forgets what was counted under a name. Other instances go by what they remember of a denial for a second.',
      scope: 'admin',
      params: NameParams,
      answers: {
        200: { says: 'Whether there was anything.', schema: Type.Object({ reset: Type.Boolean() }) },
      },
      run: async ({ principal, params }) => {
        // Else a tenant would lift the limits that its operator has put on it.
        if (params.name.startsWith('spillway.')) requireScope(principal, 'operate')
        return { reset: await spillway.tenant(principal.tenant).limits.reset(params.name) }
      },
    }),
  ]
}

/** A problem, with the members of the verdict. */
function denied(reply: FastifyReply, verdict: Verdict, url: string | undefined): FastifyReply {
  const error = rateLimited(verdict)
  // Bytes: to text Fastify adds a charset, which this media type does not have.
  const problem = Buffer.from(JSON.stringify({ ...problemOf(error, url), ...verdict }))
  return reply.code(error.status).headers(problemHeaders(error)).send(problem)
}
