import type { FastifyRequest } from 'fastify'
import type { Credentials } from '../access/access.js'
import { SpillwayError } from '../errors.js'
import type { Query } from './query.js'

/** What a request brings along to say who calls. Errors: `INVALID_NAME`. */
export function credentialsOf({ headers }: FastifyRequest, query: Query, takesTicket: boolean): Credentials {
  const header = headers['x-spillway-tenant']
  const named = typeof header === 'string' ? header : undefined
  // Headers have no agreed encoding: read differently, one name would be two tenants.
  if (named !== undefined && !/^[\x20-\x7e]*$/.test(named)) {
    throw new SpillwayError(
      'INVALID_NAME',
      'X-Spillway-Tenant takes ASCII only: give this name as the query parameter tenant',
    )
  }
  return {
    authorization: headers.authorization,
    tenant: named ?? query.get('tenant'),
    ticket: takesTicket ? query.get('ticket') : undefined,
  }
}
