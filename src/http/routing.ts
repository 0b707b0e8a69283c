import type { FastifyInstance } from 'fastify'
import type { Access } from '../access/access.js'
import { SpillwayError } from '../errors.js'
import { recognise } from './caller.js'
import type { Endpoint } from './endpoint.js'

/** Puts the endpoints on the server, and says of everything else what is wrong with it. */
export function route(app: FastifyInstance, endpoints: readonly Endpoint[], access: Access): void {
  for (const endpoint of endpoints) {
    const method = endpoint.method === 'GET' ? (['GET', 'HEAD'] as const) : endpoint.method
    app.route({
      method: [...[method].flat()],
      url: endpoint.path.replace(/\{(\w+)\}/g, ':$1'),
      exposeHeadRoute: false,
      // Before the body is read: how large it may be depends on whose it is.
      onRequest: async (request) => recognise(request, await endpoint.identify(request, access)),
      handler: async (request, reply) => endpoint.answer(request, reply),
    })
  }
  const allowedAt = methodsByPath(endpoints)
  app.setNotFoundHandler(async ({ method, raw }, reply) => {
    const path = (raw.url ?? '').split('?', 1)[0] ?? ''
    const allowed = allowedAt(path)
    if (allowed.length === 0) throw new SpillwayError('NOT_FOUND', 'There is nothing at this path')
    reply.header('allow', allowed.join(', '))
    if (method === 'OPTIONS') return reply.code(204).send()
    throw new SpillwayError('METHOD_NOT_ALLOWED', `This path takes ${allowed.join(', ')}, not ${method}`)
  })
}

function methodsByPath(endpoints: readonly Endpoint[]): (path: string) => string[] {
  const paths = new Map<string, { shape: RegExp; methods: string[] }>()
  for (const { path, method } of endpoints) {
    const shape = new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`)
    const known = paths.get(path) ?? { shape, methods: ['OPTIONS'] }
    known.methods.push(...(method === 'GET' ? ['GET', 'HEAD'] : [method]))
    paths.set(path, known)
  }
  return (path) => [...paths.values()].find(({ shape }) => shape.test(path))?.methods ?? []
}
