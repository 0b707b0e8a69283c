import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Principal } from '../../access/principal.js'
import { TICKET_FLOWS, TICKET_TTL_MS, type Tickets } from '../../access/tickets.js'
import { SpillwayError } from '../../errors.js'
import { checkName } from '../../tenant.js'
import { type Answer, type Endpoint, endpoint } from '../endpoint.js'
import { FlowParams, name } from '../schemas.js'
import type { Streams } from '../streams.js'

const SSE: Readonly<Record<number, Answer>> = {
  200: {
    says: 'Server-sent events, without end: reconnect with the last id.',
    schema: Type.String(),
    type: 'text/event-stream',
  },
}

/** Any text: a cursor that nobody issued is answered with a gap, because a browser would never come back from a refusal. */
const After = Type.Optional(
  Type.String({
    description:
      'Resumes behind this cursor; `0`: from the beginning. The `Last-Event-ID` header goes before it.',
  }),
)
const TicketText = Type.Optional(
  Type.String({ description: 'A ticket, for `EventSource`, which sends no headers.' }),
)

export function streamEndpoints(streams: Streams, tickets: Tickets): Endpoint[] {
  const flowList = Type.Array(name('flow', 'Name of a flow.'), { minItems: 1, maxItems: TICKET_FLOWS })
  return [
    endpoint({
      method: 'GET',
      path: '/v1/flows/{flow}/stream',
      id: 'stream',
      says: 'Streams the events of a flow: history behind the cursor, then live.',
      scope: 'subscribe',
      ticket: true,
      params: FlowParams,
      query: Type.Object({ after: After, ticket: TicketText }),
      answers: SSE,
      run: async ({ principal, params, query, request, reply }) => {
        const flows = readable(principal, [params.flow])
        openStream({ principal, flows, multi: false, after: query.after, request, reply })
      },
    }),
    endpoint({
      method: 'GET',
      path: '/v1/stream',
      id: 'streamMany',
      says: 'Streams the events of several flows with one cursor.',
      scope: 'subscribe',
      ticket: true,
      query: Type.Object({
        flows: Type.Array(name('flow', 'Name of a flow.'), {
          minItems: 1,
          maxItems: TICKET_FLOWS,
          description:
            'Each percent-encoded once, then comma-separated; a single name with a comma has a bare comma behind it.',
        }),
        after: After,
        ticket: TicketText,
      }),
      answers: SSE,
      run: async ({ principal, query, request, reply }) => {
        const flows = readable(principal, [...new Set(query.flows)])
        openStream({ principal, flows, multi: true, after: query.after, request, reply })
      },
    }),
    endpoint({
      method: 'POST',
      path: '/v1/tickets',
      id: 'createTicket',
      says: 'Makes a short-lived right to open streams of these flows, to hand to a browser.',
      scope: 'subscribe',
      body: Type.Object(
        {
          flows: flowList,
          ttlMs: Type.Optional(
            Type.Integer({ minimum: 1, maximum: TICKET_TTL_MS.max, default: TICKET_TTL_MS.fallback }),
          ),
        },
        { additionalProperties: false },
      ),
      answers: {
        200: {
          says: 'The ticket, good on every instance.',
          schema: Type.Object({ ticket: Type.String(), expiresAt: Type.String({ format: 'date-time' }) }),
        },
      },
      run: ({ principal, body }) =>
        tickets.issue({ tenant: principal.tenant, user: principal.user, ...body }),
    }),
  ]

  function openStream(order: StreamOrder): void {
    const { principal, flows, multi, after, request, reply } = order
    const header = request.headers['last-event-id']
    const cursor = typeof header === 'string' && header !== '' ? header : after
    if (request.method === 'HEAD') {
      reply.header('cache-control', 'no-cache, no-transform').type('text/event-stream').send('')
      return
    }
    // A request that was sent before the answer to another one came has no connection of its own yet.
    if (reply.raw.socket === null) {
      comeBack(reply)
      return
    }
    // What the hooks have set for this answer (CORS, security) goes out with the stream's own head.
    const headers = Object.fromEntries(Object.entries(reply.getHeaders()))
    try {
      streams.open(reply.raw, { tenant: principal.tenant, flows, multi, cursor, headers })
      reply.hijack()
    } catch (error) {
      if (!(error instanceof SpillwayError && error.code === 'DRAINING')) throw error
      comeBack(reply)
    }
  }
}

/** A stream that ends at once: a browser reconnects after it, as it never does after a refusal. */
function comeBack(reply: FastifyReply): void {
  reply.header('cache-control', 'no-cache, no-transform').type('text/event-stream').send('retry: 1000\n\n')
}

interface StreamOrder {
  readonly principal: Principal
  readonly flows: readonly string[]
  readonly multi: boolean
  readonly after: string | undefined
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** Errors: `INVALID_NAME`, `FORBIDDEN`. */
function readable(principal: Principal, flows: readonly string[]): readonly string[] {
  for (const flow of flows) checkName('flow', flow)
  const { mayRead } = principal
  if (mayRead && !flows.every(mayRead))
    throw new SpillwayError('FORBIDDEN', 'The ticket is not for this flow')
  return flows
}
