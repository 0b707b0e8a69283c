import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Access } from '../access/access.js'
import { requireScope } from '../access/principal.js'
import { recognise } from './caller.js'
import { credentialsOf } from './credentials.js'
import { parseQuery } from './query.js'

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
      recognise(request, caller)
    })
    await scoped.register(plugin)
  })
}
