import { once } from 'node:events'
import { type AddressInfo, Server as NetServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyPluginAsync,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify'
import { Access } from '../access/access.js'
import { ApiKeys } from '../access/keys.js'
import { Tickets } from '../access/tickets.js'
import { SpillwayError } from '../errors.js'
import type { Spillway } from '../spillway.js'
import { checkTenantLimits } from '../tenant-limits.js'
import { allowanceOf } from './allowance.js'
import { acceptJson } from './body.js'
import { knownCaller } from './caller.js'
import { Canary } from './canary.js'
import { serveDashboard } from './dashboard.js'
import { logOf } from './log.js'
import { openapi } from './openapi.js'
import { refuseOpenServer } from './origin.js'
import { addPlugin } from './plugins.js'
import { problemHeaders, problemOf, rawAnswer, toSpillwayError } from './problem.js'
import { eventEndpoints } from './routes/events.js'
import { flowEndpoints } from './routes/flows.js'
import { healthEndpoints } from './routes/health.js'
import { keyEndpoints } from './routes/keys.js'
import { lockEndpoints } from './routes/locks.js'
import { streamEndpoints } from './routes/streams.js'
import { termEndpoints } from './routes/term.js'
import { route } from './routing.js'
import { secure } from './security.js'
import { newOperatorToken, removeServerFile, writeServerFile } from './server-file.js'
import { Streams } from './streams.js'

/** The HTTP server over a Spillway. */
export interface HttpServer {
  /** Where it listens; empty before. */
  readonly url: string
  readonly streams: Streams
  /** Errors: `CONFIG_INVALID` if the address cannot be used. */
  listen(): Promise<void>
  /** Ends gracefully within `drainMs`: no new connections, streams end resumably, what is under way is finished. */
  drain(): Promise<void>
}

export interface ServerOptions {
  /** Further routes beside Spillway's own; `callerOf` says whose a request is. */
  readonly plugins?: readonly FastifyPluginAsync[]
}

/** 100 flows of a multi-flow stream, each of 256 bytes and percent-encoded, fit into a URL. */
const MAX_URL_BYTES = 96 * 1024
const MAX_HEADER_BYTES = 128 * 1024
/** Longer than the idle time of usual proxies: else one would send a request into a closing connection. */
const KEEP_ALIVE_MS = 72_000
const HEADERS_MS = 15_000
/** Long enough for a large upload over a slow line. */
const REQUEST_MS = 300_000
const CHECK_MS = 5000
const GOODBYE_MS = 250

/** Errors: `CONFIG_INVALID`. */
export async function createServer(spillway: Spillway, options: ServerOptions = {}): Promise<HttpServer> {
  const { config, database, live } = spillway
  refuseOpenServer(config)
  checkTenantLimits('tenantLimits', config.tenantLimits)
  const operatorToken = database.kind === 'embedded' ? newOperatorToken() : undefined
  const keys = new ApiKeys(database)
  const tickets = new Tickets(database)
  await tickets.prepare()
  const access = new Access(config, { keys, tickets, operatorToken })
  const streams = new Streams({ live, database }, config)
  const canary = new Canary(spillway)
  let draining = false

  const loggerInstance: FastifyBaseLogger = logOf(config)
  const app = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.maxBodyBytes,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    routerOptions: { maxParamLength: MAX_URL_BYTES },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      connectionsCheckingInterval: CHECK_MS,
      // Node would refuse in words of its own.
      requireHostHeader: false,
    },
    frameworkErrors: (error, request, reply) => refuse(error, request, reply),
    clientErrorHandler: (error, socket) => {
      if (socket.writable && error.code !== 'ECONNRESET') socket.end(rawAnswer(error))
      else socket.destroy()
    },
  })
  app.setErrorHandler<FastifyError>((error, request, reply) => refuse(error, request, reply))
  app.addHook('onRequest', async ({ raw }, reply) => {
    if (draining) reply.header('connection', 'close')
    if (raw.headers.host === undefined && raw.httpVersion === '1.1') {
      throw new SpillwayError('INVALID_ARGUMENT', 'A request of HTTP/1.1 needs a Host header')
    }
    if ((raw.url ?? '').length > MAX_URL_BYTES) {
      throw new SpillwayError('URI_TOO_LONG', `The URL is longer than ${MAX_URL_BYTES} bytes`)
    }
  })
  acceptJson(app, (request) => allowanceOf(config, knownCaller(request)?.tenant).maxBodyBytes)
  await secure(app, config)
  const endpoints = [
    ...eventEndpoints(spillway),
    ...streamEndpoints(streams, tickets),
    ...flowEndpoints(spillway),
    ...lockEndpoints(spillway),
    ...keyEndpoints(keys),
    ...termEndpoints(spillway),
    ...healthEndpoints({ spillway, canary, isDraining: () => draining }),
  ]
  route(app, endpoints, access)
  const document = JSON.stringify(openapi(endpoints))
  app.get('/openapi.json', async (_, reply) => reply.type('application/json').send(document))
  for (const plugin of options.plugins ?? []) await addPlugin(app, plugin, access)
  await serveDashboard(app)
  await app.ready()

  let url = ''
  let ending: Promise<void> | undefined
  return {
    get url() {
      return url
    },
    streams,
    listen: async () => {
      try {
        // Not by Fastify, which says so in the log of everybody who starts it.
        app.server.listen({ host: config.host, port: config.port })
        await once(app.server, 'listening')
      } catch (error) {
        throw cannotListen(error, config)
      }
      url = urlOf(app.server.address())
      if (operatorToken !== undefined)
        await writeServerFile(config.dataDir, { pid: process.pid, url, token: operatorToken })
    },
    drain: () => {
      ending ??= end()
      return ending
    },
  }

  async function end(): Promise<void> {
    draining = true
    const { server } = app
    const listening = server.listening
    const over = listening ? once(server, 'close') : Promise.resolve()
    // No new connections. Those that are kept have a moment in which they are told that this instance is not ready.
    NetServer.prototype.close.call(server)
    const cut = setTimeout(() => server.closeAllConnections(), config.drainMs)
    await Promise.all([
      streams.drain(config.drainMs / 2),
      Promise.race([over, delay(Math.min(GOODBYE_MS, config.drainMs / 4))]),
    ])
    server.close()
    await over
    clearTimeout(cut)
    canary.close()
    await app.close()
    if (operatorToken !== undefined) await removeServerFile(config.dataDir)
  }
}

function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const refusal = toSpillwayError(error)
  if (refusal.code === 'INTERNAL')
    request.log.error({ err: refusal.cause ?? refusal, url: request.routeOptions?.url }, refusal.message)
  else if (refusal.status >= 500) request.log.warn({ code: refusal.code }, refusal.message)
  // Bytes: to text Fastify adds a charset, which this media type does not have.
  const problem = Buffer.from(JSON.stringify(problemOf(refusal, request.raw.url)))
  return reply.code(refusal.status).headers(problemHeaders(refusal)).send(problem)
}

function cannotListen(error: unknown, { host, port }: { host: string; port: number }): SpillwayError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reasons: Record<string, string> = {
    EADDRINUSE: `Port ${port} of ${host} is in use: stop what uses it, or set SPILLWAY_PORT`,
    EACCES: `Port ${port} of ${host} may not be used by this user: set SPILLWAY_PORT to 1024 or above`,
    EADDRNOTAVAIL: `${host} is no address of this machine: set SPILLWAY_HOST`,
    ENOTFOUND: `${host} is no address of this machine: set SPILLWAY_HOST`,
  }
  return new SpillwayError(
    'CONFIG_INVALID',
    reasons[code] ?? `Cannot listen on ${host}:${port}: ${String(error)}`,
    { cause: error },
  )
}

/** An address that works from this machine, also where all addresses are listened on. */
function urlOf(address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') return ''
  const host =
    address.address === '0.0.0.0' ? '127.0.0.1' : address.address === '::' ? '::1' : address.address
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}
