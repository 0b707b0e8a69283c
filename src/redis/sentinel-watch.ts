import type { Redis } from 'ioredis'
import { connectionToSentinel } from './connection.js'
import type { Failed } from './connector.js'
import type { RedisSettings } from './settings.js'

const CHANNEL = '+switch-master'

/**
 * Hears from each sentinel when it names another master. Without it a master that is alive, and no longer the master,
 * is written to until somebody tells it: ten seconds of events that it then throws away.
 */
export class SentinelWatch {
  readonly #connections: readonly Redis[]

  /**
   * `switched` is called for every sentinel that says so: the first ones may be asked before the others know. `failed` is
   * told why a sentinel is not reached.
   */
  constructor(settings: RedisSettings, switched: () => void, failed: Failed) {
    const { nodes, master } = settings.address
    this.#connections = nodes.map((at) => {
      const connection = connectionToSentinel(settings, at)
      return (
        connection
          // One sentinel less: the others are heard, and it is tried again.
          .on('error', failed)
          .on('ready', () => void connection.subscribe(CHANNEL).catch(() => connection.disconnect(true)))
          // "name old-host old-port new-host new-port"
          .on('message', (_, message: string) => {
            if (message.startsWith(`${master} `)) switched()
          })
      )
    })
    for (const connection of this.#connections) connection.connect().catch(() => undefined)
  }

  close(): void {
    for (const connection of this.#connections) connection.disconnect()
  }
}
