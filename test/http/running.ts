import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyPluginAsync } from 'fastify'
import type { Config } from '../../src/config.js'
import { createServer, type HttpServer } from '../../src/http/server.js'
import { Spillway } from '../../src/index.js'
import { embeddedFolder } from '../support/embedded.js'

export interface Running {
  readonly url: string
  readonly dataDir: string
  readonly spillway: Spillway
  readonly server: HttpServer
  /** One call; `body` is sent as JSON, `text` as it is. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  stop(): Promise<void>
}

export interface CallOptions {
  readonly body?: unknown
  readonly text?: string | Uint8Array<ArrayBuffer>
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body's JSON; undefined if it is none. */
  readonly json: Record<string, unknown>
}

/** A server over real sockets in this process, on the embedded store unless a URL is given. */
export async function start(
  config: Partial<Config> = {},
  plugins: readonly FastifyPluginAsync[] = [],
): Promise<Running> {
  const dataDir = await (config.databaseUrl ? mkdtemp(join(tmpdir(), 'spillway-http-')) : embeddedFolder())
  const spillway = await Spillway.open({
    dataDir,
    config: { port: 0, logLevel: 'silent', drainMs: 500, ...config },
  })
  const server = await createServer(spillway, { plugins }).catch(async (error: unknown) => {
    await spillway.close()
    await rm(dataDir, { recursive: true, force: true })
    throw error
  })
  await server.listen()
  return {
    url: server.url,
    dataDir,
    spillway,
    server,
    call: (method, path, options) => call(server.url, method, path, options),
    stop: async () => {
      await server.drain()
      await spillway.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

async function call(url: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { body, text, headers = {} } = options
  const sent = text ?? (body === undefined ? undefined : JSON.stringify(body))
  const answer = await fetch(url + path, {
    method,
    headers: { ...(sent === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(sent === undefined ? {} : { body: sent }),
  })
  const received = await answer.text()
  return { status: answer.status, headers: answer.headers, text: received, json: parsed(received) }
}

function parsed(text: string): Answer['json'] {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
