import { Type } from '@sinclair/typebox'
import { SpillwayError } from '../../errors.js'
import { Metrics } from '../../ops/metrics.js'
import type { Spillway } from '../../spillway.js'
import type { Canary } from '../canary.js'
import { type Endpoint, endpoint } from '../endpoint.js'
import { ProblemAnswer } from '../schemas.js'

export interface HealthParts {
  readonly spillway: Spillway
  readonly canary: Canary
  readonly isDraining: () => boolean
}

export function healthEndpoints({ spillway, canary, isDraining }: HealthParts): Endpoint[] {
  const { mode, instanceId } = spillway
  const metrics = new Metrics(spillway)
  return [
    endpoint({
      method: 'GET',
      path: '/livez',
      id: 'live',
      says: 'Whether the process answers.',
      scope: null,
      answers: { 200: { says: 'It does.', schema: Type.Object({ status: Type.Literal('live') }) } },
      run: async () => ({ status: 'live' }),
    }),
    endpoint({
      method: 'GET',
      path: '/metrics',
      id: 'metrics',
      says: 'Figures of this instance for Prometheus. They name no tenant.',
      scope: null,
      answers: { 200: { says: 'The figures.', schema: Type.String(), type: 'text/plain' } },
      run: async ({ reply }) => {
        reply.type(metrics.contentType).header('cache-control', 'no-store')
        return metrics.text()
      },
    }),
    endpoint({
      method: 'GET',
      path: '/readyz',
      id: 'ready',
      says: 'Whether events travel: one was really published and delivered within the last second.',
      scope: null,
      answers: {
        200: {
          says: 'They do.',
          schema: Type.Object({
            status: Type.Literal('ready'),
            mode: Type.String(),
            term: Type.Integer({ description: 'Number of the reign.' }),
            store: Type.String({ description: 'The store that reigns.' }),
            instance: Type.String(),
            delivery_ms: Type.Number({ description: 'From the publish to the arrival.' }),
          }),
        },
        503: {
          says: 'They do not, or the instance is stopping.',
          schema: ProblemAnswer,
          type: 'application/problem+json',
        },
      },
      run: async ({ reply }) => {
        reply.header('cache-control', 'no-store')
        if (isDraining()) throw new SpillwayError('DRAINING', 'This instance is stopping')
        const { ms } = await canary.prove()
        const { reign } = spillway.term
        if (!reign) throw new SpillwayError('NOT_READY', 'This instance does not know which store reigns')
        const { number: term, store } = reign
        if (spillway.apart) {
          throw new SpillwayError('NOT_READY', 'Redis reigns, and this instance cannot reach it')
        }
        return { status: 'ready', mode, term, store, instance: instanceId, delivery_ms: ms }
      },
    }),
  ]
}
