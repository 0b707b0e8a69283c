import type { Static, TProperties, TSchema } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Access } from '../access/access.js'
import { type Principal, requireScope, type Scope } from '../access/principal.js'
import { SpillwayError } from '../errors.js'
import { JsonBody } from './body.js'
import { callerOf } from './caller.js'
import { checker } from './check.js'
import { credentialsOf } from './credentials.js'
import { parseQuery, type Query, splitList } from './query.js'

/** One way an endpoint may answer, as the OpenAPI document says it. */
export interface Answer {
  readonly says: string
  readonly schema?: TSchema
  /** Default `application/json`. */
  readonly type?: string
}

/** An endpoint in words: what the OpenAPI document is made from, and what requests are checked against. */
export interface EndpointDoc {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** As OpenAPI writes it: `/v1/flows/{flow}/events`. */
  readonly path: string
  readonly id: string
  readonly says: string
  /** Right that the credential must have; `null`: open to everybody who reaches the server. */
  readonly scope: Scope | null
  /** Whether `?ticket=` is a credential here. */
  readonly ticket?: boolean
  readonly params?: TSchema
  readonly query?: TSchema
  readonly body?: TSchema
  readonly answers: Readonly<Record<number, Answer>>
}

/** What an endpoint gets to answer from; everything in it has been checked. */
export interface Call<P, Q, B> {
  readonly principal: Principal
  readonly params: P
  readonly query: Q
  readonly body: B
  /** The body as it was sent. */
  readonly text: string
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

export interface Endpoint extends EndpointDoc {
  /** Who calls, from the head of the request, if they may. Errors: those of `Access`, and `FORBIDDEN`. */
  identify(request: FastifyRequest, access: Access): Promise<Principal>
  /** Answers a request whose caller is recognised. */
  answer(request: FastifyRequest, reply: FastifyReply): Promise<unknown>
}

type Spec<P extends TSchema, Q extends TSchema, B extends TSchema> = Omit<
  EndpointDoc,
  'params' | 'query' | 'body'
> & {
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  run(call: Call<Static<P>, Static<Q>, Static<B>>): Promise<unknown>
}

const NOBODY: Principal = { tenant: '', user: null, scopes: new Set() }

/** Describes an endpoint once: its checks, its documentation and what it does. */
export function endpoint<P extends TSchema, Q extends TSchema, B extends TSchema>(
  spec: Spec<P, Q, B>,
): Endpoint {
  const { run, params, query, body, ...doc } = spec
  const checkParams = checker(params, 'path')
  const checkQuery = checker(query, 'query')
  const checkBody = checker(body, 'body')
  const properties: TProperties = query?.properties ?? {}
  const lists = new Set(Object.keys(properties).filter((name) => properties[name]?.type === 'array'))
  return {
    ...doc,
    ...(params && { params }),
    ...(query && { query }),
    ...(body && { body }),
    identify: async (request, access) => {
      if (doc.scope === null) return NOBODY
      const given = parseQuery(request.raw.url ?? '', lists)
      const principal = await access.identify(credentialsOf(request, given, doc.ticket === true))
      requireScope(principal, doc.scope)
      return principal
    },
    answer: async (request, reply) => {
      const sent = request.body
      if (body !== undefined && !(sent instanceof JsonBody)) {
        throw new SpillwayError('INVALID_JSON', 'A JSON body is needed, with Content-Type: application/json')
      }
      return run({
        principal: callerOf(request),
        params: checkParams(request.params),
        query: checkQuery(convert(parseQuery(request.raw.url ?? '', lists), properties)),
        body: checkBody(sent instanceof JsonBody ? sent.value : undefined),
        text: sent instanceof JsonBody ? sent.text : '',
        request,
        reply,
      })
    },
  }
}

/** The query as its schema sees it: whole numbers and lists are read, what cannot be read stays text. */
function convert(query: Query, properties: TProperties): Record<string, unknown> {
  const values = Object.keys(properties).flatMap((name): [string, unknown][] => {
    const text = query.get(name)
    if (text === undefined) return []
    const { type } = properties[name] as TSchema
    if (type === 'integer') return [[name, /^-?\d{1,15}$/.test(text) ? Number(text) : text]]
    return [[name, type === 'array' ? splitList(text) : text]]
  })
  return Object.fromEntries(values)
}
