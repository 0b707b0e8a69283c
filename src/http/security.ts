import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../config.js'
import { checkOrigin } from './origin.js'

const PREFLIGHT_SECONDS = 600

/** What pages of other sites may do here, and what a browser is told to refuse. */
export async function secure(app: FastifyInstance, config: Config): Promise<void> {
  if (config.auth === 'none') {
    app.addHook('onRequest', async ({ headers }) => checkOrigin(headers, config))
  }
  await app.register(helmet, {
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
  if (config.corsOrigins.length === 0) return
  await app.register(cors, {
    origin: config.corsOrigins.includes('*') ? '*' : [...config.corsOrigins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Last-Event-ID', 'X-Spillway-Tenant', 'Cache-Control'],
    exposedHeaders: ['Retry-After', 'WWW-Authenticate', 'Allow'],
    maxAge: PREFLIGHT_SECONDS,
  })
}
