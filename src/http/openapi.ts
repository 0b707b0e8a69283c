import type { TSchema } from '@sinclair/typebox'
import type { Answer, Endpoint } from './endpoint.js'
import { packageVersion } from './package.js'
import { PROBLEM_TYPE } from './problem.js'
import { ProblemAnswer } from './schemas.js'

type Json = Readonly<Record<string, unknown>>

/** The OpenAPI 3.1 document, made from the schemas that requests are checked against. */
export function openapi(endpoints: readonly Endpoint[]): Json {
  const schemas = new Map<string, unknown>()
  const refer = (schema: TSchema) => named(schema, schemas)
  const paths: Record<string, Record<string, unknown>> = {}
  for (const endpoint of endpoints) {
    paths[endpoint.path] = {
      ...paths[endpoint.path],
      [endpoint.method.toLowerCase()]: operation(endpoint, refer),
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Spillway',
      version: packageVersion(),
      description:
        'Durable flow events and live updates. Every error is `application/problem+json` with a stable `code`.',
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: Object.fromEntries(schemas),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or a JWT.' },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket' },
        tenant: {
          type: 'apiKey',
          in: 'header',
          name: 'X-Spillway-Tenant',
          description: 'The tenant, where the server runs without authentication; default `default`.',
        },
      },
    },
  }
}

type Refer = (schema: TSchema) => unknown

function operation(endpoint: Endpoint, refer: Refer): Json {
  const { id, says, scope, ticket, params, query, body, answers } = endpoint
  const parameters = [...parametersOf(params, 'path', refer), ...parametersOf(query, 'query', refer)]
  const open = scope === null
  const security = open ? [] : [{ bearer: [] }, { tenant: [] }, ...(ticket ? [{ ticket: [] }] : [])]
  return {
    operationId: id,
    summary: says,
    ...(open ? {} : { description: `Needs the scope \`${scope}\`.` }),
    security,
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: refer(body) } } },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [status, response(answer, refer)]),
      ),
      default: { description: 'A problem.', content: { [PROBLEM_TYPE]: { schema: refer(ProblemAnswer) } } },
    },
  }
}

function response({ says, schema, type = 'application/json' }: Answer, refer: Refer): Json {
  return { description: says, ...(schema && { content: { [type]: { schema: refer(schema) } } }) }
}

function parametersOf(schema: TSchema | undefined, where: 'path' | 'query', refer: Refer): Json[] {
  const properties: Record<string, TSchema> = schema?.properties ?? {}
  const required: string[] = schema?.required ?? []
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: required.includes(name),
    // A list stands as RFC 6570 writes it: each part encoded, the commas bare.
    ...(property.type === 'array' && { style: 'form', explode: false }),
    schema: refer(property),
  }))
}

/** The schema with what has a name of its own moved to the document's components. */
function named(schema: unknown, schemas: Map<string, unknown>): unknown {
  if (Array.isArray(schema)) return schema.map((part) => named(part, schemas))
  if (typeof schema !== 'object' || schema === null) return schema
  const { $id, ...rest } = schema as { $id?: unknown }
  const plain = () =>
    Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, named(value, schemas)]))
  if (typeof $id !== 'string') return plain()
  if (!schemas.has($id)) schemas.set($id, plain())
  return { $ref: `#/components/schemas/${$id}` }
}
