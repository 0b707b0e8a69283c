import { Type } from '@sinclair/typebox'
import type { Keys } from '../../access/keys.js'
import { requireScope } from '../../access/principal.js'
import { type Endpoint, endpoint } from '../endpoint.js'
import { KeyAnswer, NewKeyAnswer, ScopeText } from '../schemas.js'

/** An administrator's keys are those of the own tenant. */
export function keyEndpoints(keys: Keys): Endpoint[] {
  return [
    endpoint({
      method: 'POST',
      path: '/v1/admin/keys',
      id: 'createKey',
      says: 'Makes an API key of this tenant.',
      scope: 'admin',
      body: Type.Object(
        {
          scopes: Type.Array(ScopeText, { minItems: 1, maxItems: 16 }),
          name: Type.Optional(
            Type.String({ maxLength: 256, description: 'What it is for.', 'x-code': 'INVALID_NAME' }),
          ),
        },
        { additionalProperties: false },
      ),
      answers: { 201: { says: 'The key, shown this once.', schema: NewKeyAnswer } },
      run: async ({ principal, body, reply }) => {
        // Else every tenant's administrator could make himself the operator of all.
        if (body.scopes.includes('operate')) requireScope(principal, 'operate')
        const key = await keys.create({ tenant: principal.tenant, ...body })
        reply.code(201).header('cache-control', 'no-store')
        return key
      },
    }),
    endpoint({
      method: 'GET',
      path: '/v1/admin/keys',
      id: 'keys',
      says: 'Lists the API keys of this tenant, newest first, revoked ones too.',
      scope: 'admin',
      answers: { 200: { says: 'The keys, without their secrets.', schema: Type.Array(KeyAnswer) } },
      run: ({ principal }) => keys.list(principal.tenant),
    }),
    endpoint({
      method: 'DELETE',
      path: '/v1/admin/keys/{id}',
      id: 'revokeKey',
      says: 'Ends an API key for good: within 5 s on every instance.',
      scope: 'admin',
      params: Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{16}$', description: 'The key’s id.' }) }),
      answers: { 200: { says: 'The key.', schema: KeyAnswer } },
      run: ({ principal, params }) => keys.revoke(principal.tenant, params.id),
    }),
  ]
}
