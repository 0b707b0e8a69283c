import type { Authority } from './certificates.js'
import { eventually } from './eventually.js'
import { freePort } from './processes.js'
import {
  type RedisConfig,
  type RedisServer,
  type RedisSet,
  type RedisStart,
  removeAll,
  startServer,
} from './redis.js'

export interface SentinelSet extends RedisSet {
  readonly sentinels: readonly RedisServer[]
  /** The server that the sentinels name as master now. */
  master(): Promise<RedisServer>
  /** Asks for a failover without waiting for a fault. */
  failover(): Promise<void>
}

/**
 * Starts one master, its replicas and sentinels that watch it under the name `mymaster`. With an authority they speak TLS
 * to each other, and to who comes by the URL.
 */
export async function startRedisSentinel({
  replicas = 1,
  watching = 3,
  config = {},
  authority,
}: {
  replicas?: number
  /** How many sentinels. */
  watching?: number
  config?: RedisConfig
  authority?: Authority
} = {}): Promise<SentinelSet> {
  const common = { 'repl-diskless-sync-delay': '0', appendonly: 'yes', ...config }
  /** Where a server is reached by the others. */
  const ports = new Map<RedisServer, number>()
  const start = async (start: RedisStart) => {
    const secure = authority && (await freePort())
    const lines = secure === undefined ? {} : authority?.redisLines(secure)
    const server = await startServer({ ...start, config: { ...start.config, ...lines } })
    ports.set(server, secure ?? server.port)
    return server
  }
  const portOf = (server: RedisServer) => ports.get(server) as number
  const master = await start({ config: common })
  const replicaof = `127.0.0.1 ${portOf(master)}`
  const others = await Promise.all(
    Array.from({ length: replicas }, () => start({ config: { ...common, replicaof } })),
  )
  const servers = [master, ...others]
  for (const server of others) {
    await eventually(
      async () => /master_link_status:up/.test(String(await server.ask('INFO', 'replication'))),
      {
        what: 'the replica',
      },
    )
  }
  const sentinels = await Promise.all(
    Array.from({ length: watching }, () =>
      start({
        mode: 'sentinel',
        config: {
          'sentinel#1': `monitor mymaster 127.0.0.1 ${portOf(master)} ${Math.floor(watching / 2) + 1}`,
          'sentinel#2': 'down-after-milliseconds mymaster 500',
          'sentinel#3': 'failover-timeout mymaster 3000',
        },
      }),
    ),
  )
  const seen = async (sentinel: RedisServer) => {
    const info = String(await sentinel.ask('INFO', 'sentinel'))
    return info.includes(`slaves=${replicas},sentinels=${watching}`) && info.includes('status=ok')
  }
  for (const sentinel of sentinels) {
    await eventually(() => seen(sentinel), { withinMs: 20_000, what: 'the sentinels' })
  }
  const firstSentinel = () => {
    const [sentinel] = sentinels
    if (!sentinel) throw new Error('no sentinel')
    return sentinel
  }
  return {
    url: `${authority ? 'rediss' : 'redis'}+sentinel://${sentinels.map((one) => `127.0.0.1:${portOf(one)}`).join(',')}/mymaster/0`,
    servers,
    sentinels,
    master: async () => {
      const address = await firstSentinel().ask('SENTINEL', 'get-master-addr-by-name', 'mymaster')
      const port = Number(Array.isArray(address) ? address[1] : undefined)
      const found = servers.find((server) => portOf(server) === port)
      if (!found) throw new Error(`no server has port ${port}`)
      return found
    },
    failover: async () => {
      await firstSentinel().ask('SENTINEL', 'failover', 'mymaster')
    },
    remove: () => removeAll([...sentinels, ...servers]),
  }
}
