import { Type } from '@sinclair/typebox'
import { SpillwayError } from '../../errors.js'
import type { Spillway } from '../../spillway.js'
import { type Endpoint, endpoint } from '../endpoint.js'
import { hasInfinite } from '../json.js'
import { FlowParams, MetaAnswer, name, StateBody, StatusText, SummaryAnswer } from '../schemas.js'

const count = (description: string) => Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description }))

export function flowEndpoints(spillway: Spillway): Endpoint[] {
  const flowOf = (principal: { tenant: string }, params: { flow: string }) =>
    spillway.tenant(principal.tenant).flow(params.flow)
  return [
    endpoint({
      method: 'GET',
      path: '/v1/flows',
      id: 'flows',
      says: 'Lists flows, last active first.',
      scope: 'subscribe',
      query: Type.Object({
        engagement: Type.Optional(name('engagement', 'Only flows of this group.')),
        status: Type.Optional(StatusText),
        recent: count('The so many last active ones; default 100.'),
        limit: count('The same as `recent`.'),
      }),
      answers: { 200: { says: 'The flows.', schema: Type.Array(SummaryAnswer) } },
      run: ({ principal, query }) => spillway.tenant(principal.tenant).flows(query),
    }),
    endpoint({
      method: 'PUT',
      path: '/v1/flows/{flow}/state',
      id: 'setState',
      says: 'Replaces the flow’s state.',
      scope: 'publish',
      params: FlowParams,
      body: StateBody,
      answers: { 200: { says: 'The state as it is now.', schema: StateBody } },
      run: async ({ principal, params, body }) => {
        if (hasInfinite(body))
          throw new SpillwayError('INVALID_JSON', 'The state holds a number that is too large')
        await flowOf(principal, params).setState(body)
        return body
      },
    }),
    endpoint({
      method: 'GET',
      path: '/v1/flows/{flow}/state',
      id: 'state',
      says: 'The flow’s state.',
      scope: 'subscribe',
      params: FlowParams,
      answers: { 200: { says: 'The state.', schema: StateBody } },
      run: async ({ principal, params }) => present(await flowOf(principal, params).state()),
    }),
    endpoint({
      method: 'DELETE',
      path: '/v1/flows/{flow}/state',
      id: 'clearState',
      says: 'Removes the flow’s state; its events stay.',
      scope: 'publish',
      params: FlowParams,
      answers: { 204: { says: 'There is no state now.' } },
      run: async ({ principal, params, reply }) => {
        await flowOf(principal, params).clearState()
        reply.code(204)
      },
    }),
    endpoint({
      method: 'GET',
      path: '/v1/flows/{flow}/meta',
      id: 'meta',
      says: 'Status, phase and progress.',
      scope: 'subscribe',
      params: FlowParams,
      answers: { 200: { says: 'The metadata.', schema: MetaAnswer } },
      run: async ({ principal, params }) => present(await flowOf(principal, params).meta()),
    }),
  ]
}

function present<T>(value: T | null): T {
  if (value === null) throw new SpillwayError('NOT_FOUND', 'This flow has no state')
  return value
}
