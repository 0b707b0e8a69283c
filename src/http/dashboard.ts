import { existsSync } from 'node:fs'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { packagePath } from './package.js'

/** Serves the page at `/`, if it has been built. */
export async function serveDashboard(app: FastifyInstance): Promise<void> {
  const root = packagePath('dist', 'dashboard')
  if (!existsSync(root)) return
  await app.register(fastifyStatic, {
    root,
    cacheControl: false,
    setHeaders: (answer, path) => {
      // Vite puts a hash of the content into the names of what lies under assets/.
      const forever = path.includes('/assets/')
      answer.header('cache-control', forever ? 'public, max-age=31536000, immutable' : 'no-cache')
    },
  })
}
