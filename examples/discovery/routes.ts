import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Spillway } from 'spillway'
import { beginRun, runDemo } from './demo.js'
import { type DiscoveryCode, DiscoveryError, systemCode } from './errors.js'
import { ATTRIBUTE_NAMES } from './mapping/attributes.js'
import { printable } from './screen.js'
import { loadCheckpoint, PHASES } from './work/checkpoint.js'
import { type Folder, folderName, foldersIn, runFolder } from './work/folder.js'

export interface DemoOptions {
  /** Whose request this is; default the tenant `default` for all. Give it wherever requests are authenticated. */
  readonly tenantOf?: ((request: FastifyRequest) => string) | undefined
  /** Largest file that is taken, in bytes; default 1 GiB. */
  readonly maxBytes?: number | undefined
  /** Imports that run at once; default 2. */
  readonly maxRunning?: number | undefined
  /** Finished uploads whose reports are kept, the newest first; default 100. */
  readonly maxKept?: number | undefined
  /** As in `runDemo`. */
  readonly autoConfirmMs?: number | undefined
}

const STATUS: Partial<Record<DiscoveryCode, number>> = {
  FILE_TOO_LARGE: 413,
  TOO_MANY_IMPORTS: 429,
  RUN_BUSY: 409,
  RUN_UNKNOWN: 404,
}

/** The page of a report may show itself and nothing else. */
const REPORT_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"

/**
 * Routes of the demo: `GET /demo`, `POST /demo/import?name=` (the file is the body), `GET /demo/{flow}/report`,
 * `.../report.csv`, `.../report.json`, `.../rejected.csv`. Imports that a killed process left go on at the start.
 */
export function demoRoutes(spillway: Spillway, options: DemoOptions = {}): FastifyPluginAsync {
  const { tenantOf = () => 'default', maxBytes = 2 ** 30, maxRunning = 2, maxKept = 100 } = options
  const { dataDir } = spillway.config
  const stop = new AbortController()
  const running = new Set<Promise<void>>()
  let arriving = 0

  const start = (tenant: string, flow: string, log: FastifyRequest['log']) => {
    const run = runDemo({
      spillway,
      tenant,
      flow,
      progress: false,
      autoConfirmMs: options.autoConfirmMs,
      signal: stop.signal,
    })
      .then(() => undefined)
      .catch((error: unknown) => {
        if (!stop.signal.aborted)
          log.warn({ err: error, flow }, 'an import of the discovery example ended early')
      })
      .finally(() => running.delete(run))
    running.add(run)
  }

  return async (app) => {
    // The body is a file, whatever its type says: it goes to the disk as it comes.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_, body, done) => done(null, body))

    app.setErrorHandler((error, request, reply) => {
      if (!(error instanceof DiscoveryError)) throw error
      const status = STATUS[error.code] ?? 422
      const problem = {
        type: `urn:spillway:problem:${error.code}`,
        title: 'The import cannot be done',
        status,
        detail: error.message,
        code: error.code,
        instance: request.url.split('?')[0],
      }
      return reply
        .code(status)
        .type('application/problem+json')
        .header('cache-control', 'no-store')
        .send(problem)
    })

    app.get('/demo', async () => ({
      name: 'discovery',
      phases: PHASES,
      attributes: ATTRIBUTE_NAMES,
      max_bytes: maxBytes,
      max_running: maxRunning,
      running: running.size,
    }))

    app.post<{ Querystring: { name?: string } }>(
      '/demo/import',
      { bodyLimit: maxBytes },
      async (request, reply) => {
        if (running.size + arriving >= maxRunning)
          throw new DiscoveryError(
            'TOO_MANY_IMPORTS',
            `${maxRunning} imports are running; try again when one is done`,
          )
        const tenant = tenantOf(request)
        const label = nameOf(request.query.name)
        const flow = `${readable(label)}-${randomBytes(6).toString('hex')}`
        const folder = runFolder(dataDir, tenant, flow)
        arriving++
        try {
          await receive(request.body, folder, maxBytes)
          await beginRun(folder, { path: folder.upload, label, tenant, flow })
        } catch (error) {
          await rm(folder.path, { recursive: true, force: true })
          // What is left of the body must not be taken for the connection's next request.
          reply.header('connection', 'close')
          request.raw.resume()
          throw error
        } finally {
          arriving--
        }
        const { over } = await uploads(dataDir)
        for (const { path } of over.slice(maxKept)) await rm(path, { recursive: true, force: true })
        start(tenant, flow, request.log)
        return reply
          .code(202)
          .header('location', `/v1/flows/${encodeURIComponent(flow)}`)
          .send({ flow })
      },
    )

    const serve = (path: string, file: (folder: Folder) => string, type: string, ending?: string) =>
      app.get<{ Params: { flow: string } }>(`/demo/:flow/${path}`, async (request, reply) => {
        const { flow } = request.params
        const tenant = tenantOf(request)
        // Refuses names that no flow can have.
        spillway.tenant(tenant).flow(flow)
        return sendFile(
          reply,
          file(runFolder(dataDir, tenant, flow)),
          type,
          ending === undefined ? undefined : `${flow}.${ending}`,
        )
      })
    serve('report', (folder) => folder.html, 'text/html; charset=utf-8')
    serve('report.csv', (folder) => folder.csv, 'text/csv; charset=utf-8', 'csv')
    serve('report.json', (folder) => folder.json, 'application/json; charset=utf-8', 'json')
    serve('rejected.csv', (folder) => folder.rejectedCsv, 'text/csv; charset=utf-8', 'rejected.csv')

    app.addHook('onReady', async () => {
      const { unfinished } = await uploads(dataDir)
      for (const { tenant, flow } of unfinished) start(tenant, flow, app.log)
    })
    app.addHook('preClose', async () => {
      stop.abort()
      await Promise.all(running)
    })
  }
}

/** Writes the body to the run's folder, as fast as the disk takes it. */
async function receive(body: unknown, folder: Folder, maxBytes: number): Promise<void> {
  if (!(body instanceof Readable)) {
    throw new DiscoveryError('FILE_EMPTY', 'The file is the body of the request; there was none')
  }
  await mkdir(folder.path, { recursive: true })
  const file = await open(folder.upload, 'w')
  try {
    let bytes = 0
    // A destroyed request could not be answered any more.
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      bytes += chunk.length
      if (bytes > maxBytes)
        throw new DiscoveryError('FILE_TOO_LARGE', `The file is larger than ${maxBytes} bytes`)
      await file.write(chunk)
    }
    await file.sync()
  } finally {
    await file.close()
  }
}

async function sendFile(reply: FastifyReply, path: string, type: string, download: string | undefined) {
  const found = await stat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  })
  if (found === null) throw new DiscoveryError('RUN_UNKNOWN', 'There is no such report, or not yet')
  reply
    .type(type)
    .header('content-length', found.size)
    .header('x-content-type-options', 'nosniff')
    .header('cache-control', 'no-store')
  reply.header('content-security-policy', REPORT_POLICY)
  if (download !== undefined)
    reply.header(
      'content-disposition',
      `attachment; filename="report"; filename*=UTF-8''${encodeName(download)}`,
    )
  return reply.send(createReadStream(path))
}

/** A file's name for people: no path, nothing that steers a terminal. */
function nameOf(given: unknown): string {
  const text = typeof given === 'string' ? printable(given).toWellFormed() : ''
  const last = basename(text.replaceAll('\\', '/')).trim().slice(0, 200).toWellFormed()
  return last === '' ? 'upload' : last
}

function readable(label: string): string {
  return folderName(label.slice(0, 60).toWellFormed()).replace(/\.[0-9a-f]{32}$/, '')
}

function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Uploads that are not over go on; of those that are, the newest so many keep their reports. */
async function uploads(dataDir: string) {
  const unfinished: { tenant: string; flow: string }[] = []
  const over: { path: string; endedMs: number }[] = []
  const root = join(dataDir, 'discovery')
  for (const tenant of await foldersIn(root)) {
    for (const run of await foldersIn(join(root, tenant))) {
      const path = join(root, tenant, run)
      const found = await loadCheckpoint({ checkpoint: join(path, 'checkpoint.json') }).catch(() => null)
      if (found === null || found.source.path !== runFolder(dataDir, found.tenant, found.flow).upload)
        continue
      if (found.phase === 'completed' || found.phase === 'failed') {
        const { mtimeMs } = await stat(join(path, 'checkpoint.json'))
        over.push({ path, endedMs: mtimeMs })
      } else unfinished.push({ tenant: found.tenant, flow: found.flow })
    }
  }
  return { unfinished, over: over.sort((a, b) => b.endedMs - a.endedMs) }
}
