import { existsSync } from 'node:fs'
import helmet from '@fastify/helmet'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { packagePath } from './package.js'

/** Serves the page at `/`, if it has been built. */
export async function serveDashboard(app: FastifyInstance): Promise<void> {
  const root = packagePath('dist', 'dashboard')
  if (!existsSync(root)) return
  // In a scope of its own: these are a page's headers, and helmet makes them anew for every answer.
  await app.register(async (page) => {
    await page.register(helmet, {
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'self'"],
          imgSrc: ["'self'", 'data:'],
          connectSrc: ["'self'"],
          objectSrc: ["'none'"],
          baseUri: ["'none'"],
          formAction: ["'self'"],
          frameAncestors: ["'none'"],
        },
      },
      // Whoever serves TLS before this server knows for how long; on plain HTTP it would be a lie.
      strictTransportSecurity: false,
    })
    await page.register(fastifyStatic, {
      root,
      cacheControl: false,
      setHeaders: (answer, path) => {
        // Vite puts a hash of the content into the names of what lies under assets/.
        const forever = path.includes('/assets/')
        answer.setHeader('cache-control', forever ? 'public, max-age=31536000, immutable' : 'no-cache')
      },
    })
  })
}
