import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../config.js'
import { checkOrigin } from './origin.js'

const PREFLIGHT_SECONDS = 600

/** For answers that are data: a browser may neither run nor embed them. Pages set their own over these. */
const DATA_HEADERS = [
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
  ['x-content-type-options', 'nosniff'],
  ['cross-origin-resource-policy', 'same-origin'],
  ['referrer-policy', 'no-referrer'],
] as const

/** What pages of other sites may do here, and what a browser is told to refuse. */
export async function secure(app: FastifyInstance, config: Config): Promise<void> {
  if (config.auth === 'none') {
    app.addHook('onRequest', async ({ headers }) => checkOrigin(headers, config))
  }
  app.addHook('onRequest', async (_, { raw }) => {
    for (const [name, value] of DATA_HEADERS) raw.setHeader(name, value)
  })
  if (config.corsOrigins.length === 0) return
  await app.register(cors, {
    origin: config.corsOrigins.includes('*') ? '*' : [...config.corsOrigins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Last-Event-ID', 'X-Spillway-Tenant', 'Cache-Control'],
    exposedHeaders: ['Retry-After', 'WWW-Authenticate', 'Allow'],
    maxAge: PREFLIGHT_SECONDS,
  })
}
