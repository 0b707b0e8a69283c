import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { Access } from '../access/access.js'
import { type Principal, requireScope } from '../access/principal.js'
import { SpillwayError } from '../errors.js'
import { credentialsOf } from './credentials.js'
import { parseQuery } from './query.js'

const callers = new WeakMap<FastifyRequest, Principal>()

/** Who sent a request to a plug-in's route. */
export function callerOf(request: FastifyRequest): Principal {
  const caller = callers.get(request)
  if (!caller) throw new SpillwayError('INTERNAL', 'This request was not authenticated')
  return caller
}

/** Adds routes beside Spillway's own, for the same callers: reading needs `subscribe`, the rest `publish`. */
export async function addPlugin(
  app: FastifyInstance,
  plugin: FastifyPluginAsync,
  access: Access,
): Promise<void> {
  await app.register(async (scoped) => {
    scoped.addHook('onRequest', async (request) => {
      const query = parseQuery(request.raw.url ?? '', new Set())
      const caller = await access.identify(credentialsOf(request, query, false))
      requireScope(caller, request.method === 'GET' || request.method === 'HEAD' ? 'subscribe' : 'publish')
      callers.set(request, caller)
    })
    await scoped.register(plugin)
  })
}
