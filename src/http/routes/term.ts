import { Type } from '@sinclair/typebox'
import { SpillwayError } from '../../errors.js'
import type { Spillway } from '../../spillway.js'
import { type Endpoint, endpoint } from '../endpoint.js'
import { ProblemAnswer } from '../schemas.js'

const Store = Type.Union([Type.Literal('redis'), Type.Literal('postgres')])

const TermAnswer = Type.Object({
  mode: Type.String(),
  number: Type.Integer({ description: 'Number of the reign.' }),
  store: Store,
  phase: Type.Union([Type.Literal('open'), Type.Literal('closing')]),
  want: Type.Union([Store, Type.Null()], { description: 'Where a closing leads.' }),
  reason: Type.Union([Type.String(), Type.Null()], { description: 'Why it was closed last.' }),
  held: Type.Boolean({ description: 'An operator wants it so: no return by itself.' }),
  trusted: Type.Boolean({ description: 'Whether this instance may trust what it knows.' }),
  problem: Type.Union([Type.String(), Type.Null()], {
    description: 'Why this instance does not see Redis well.',
  }),
  warning: Type.Union([Type.String(), Type.Null()], {
    description: 'What should be mended about Redis, though it works now.',
  }),
  open_ms: Type.Number({ description: 'Since this reign was opened.' }),
  instances: Type.Array(
    Type.Object({
      name: Type.String(),
      view: Type.String({ description: 'Its view of Redis: ok, unsure, down, none.' }),
      matches: Type.Boolean({ description: 'Whether its Redis is the one of this term.' }),
      stopped: Type.Integer({ description: 'The last term for which it has stopped.' }),
      age_ms: Type.Number({ description: 'Since its last beat.' }),
    }),
  ),
})

/** What operators see of the term, and may do about it. */
export function termEndpoints(spillway: Spillway): Endpoint[] {
  const asked = async (store: 'redis' | 'postgres', reason: 'operator' | 'drill') => {
    spillway.turn(store, reason)
    return spillway.termReport()
  }
  return [
    endpoint({
      method: 'GET',
      path: '/v1/admin/term',
      id: 'term',
      says: 'Which store reigns, and how every instance sees it.',
      scope: 'admin',
      answers: { 200: { says: 'The term.', schema: TermAnswer } },
      run: async ({ reply }) => {
        reply.header('cache-control', 'no-store')
        return spillway.termReport()
      },
    }),
    endpoint({
      method: 'POST',
      path: '/v1/admin/term/turn',
      id: 'turn',
      says: 'Asks for the other store, or for the one named, to reign. PostgreSQL then reigns until somebody asks for Redis.',
      scope: 'operate',
      body: Type.Object({ store: Type.Optional(Store) }, { additionalProperties: false }),
      answers: {
        202: { says: 'It is asked for; the term as it is now.', schema: TermAnswer },
        400: { says: 'There is only one store.', schema: ProblemAnswer, type: 'application/problem+json' },
      },
      run: async ({ body, reply }) => {
        const { store } = await spillway.termReport()
        reply.code(202)
        return asked(body.store ?? (store === 'redis' ? 'postgres' : 'redis'), 'operator')
      },
    }),
    endpoint({
      method: 'POST',
      path: '/v1/admin/term/drill',
      id: 'drill',
      says: 'Rehearses an outage: PostgreSQL reigns, until Redis was well for its usual time.',
      scope: 'operate',
      answers: {
        202: { says: 'It is asked for; the term as it is now.', schema: TermAnswer },
        400: { says: 'There is only one store.', schema: ProblemAnswer, type: 'application/problem+json' },
        503: { says: 'Redis does not reign.', schema: ProblemAnswer, type: 'application/problem+json' },
      },
      run: async ({ reply }) => {
        const { store, mode } = await spillway.termReport()
        if (mode === 'full' && store !== 'redis') {
          throw new SpillwayError('TERM_BUSY', 'Redis does not reign now: there is nothing to rehearse')
        }
        reply.code(202)
        return asked('postgres', 'drill')
      },
    }),
  ]
}
