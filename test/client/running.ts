import { rm } from 'node:fs/promises'
import type { FastifyPluginAsync } from 'fastify'
import type { Config } from '../../src/config.js'
import { createServer } from '../../src/http/server.js'
import { Spillway } from '../../src/index.js'
import { embeddedFolder } from '../support/embedded.js'
import { freePort } from '../support/processes.js'

/** A Spillway on the embedded store in this process, that can stop and start again on the same files and port. */
export interface Running {
  readonly url: string
  spillway(): Spillway
  stop(): Promise<void>
  /** With another configuration, if one is given. */
  start(changed?: Partial<Config>): Promise<void>
  /** Stops and removes the files. */
  remove(): Promise<void>
}

export async function startEmbedded(
  config: Partial<Config> = {},
  plugins: (spillway: Spillway) => FastifyPluginAsync[] = () => [],
): Promise<Running> {
  const dataDir = await embeddedFolder()
  const port = await freePort()
  let parts: { spillway: Spillway; drain: () => Promise<void> } | undefined
  const running: Running = {
    url: `http://127.0.0.1:${port}`,
    spillway: () => {
      if (!parts) throw new Error('the server is stopped')
      return parts.spillway
    },
    start: async (changed = {}) => {
      const options = {
        port,
        logLevel: 'silent',
        drainMs: 200,
        heartbeatMs: 1000,
        ...config,
        ...changed,
      } as const
      const spillway = await Spillway.open({ dataDir, config: options })
      const server = await createServer(spillway, { plugins: plugins(spillway) })
      await server.listen()
      parts = { spillway, drain: () => server.drain() }
    },
    stop: async () => {
      const { spillway, drain } = parts ?? {}
      parts = undefined
      await drain?.()
      await spillway?.close()
    },
    remove: async () => {
      await running.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
  await running.start()
  return running
}
