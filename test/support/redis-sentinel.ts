import { eventually } from './eventually.js'
import { type RedisConfig, type RedisServer, type RedisSet, removeAll, startServer } from './redis.js'

export interface SentinelSet extends RedisSet {
  readonly sentinels: readonly RedisServer[]
  /** The server that the sentinels name as master now. */
  master(): Promise<RedisServer>
  /** Asks for a failover without waiting for a fault. */
  failover(): Promise<void>
}

/** Starts one master, its replicas and three sentinels that watch it under the name `mymaster`. */
export async function startRedisSentinel({
  replicas = 1,
  config = {},
}: {
  replicas?: number
  config?: RedisConfig
} = {}): Promise<SentinelSet> {
  const common = { 'repl-diskless-sync-delay': '0', appendonly: 'yes', ...config }
  const master = await startServer({ config: common })
  const replicaof = `127.0.0.1 ${master.port}`
  const others = await Promise.all(
    Array.from({ length: replicas }, () => startServer({ config: { ...common, replicaof } })),
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
    [1, 2, 3].map(() =>
      startServer({
        mode: 'sentinel',
        config: {
          'sentinel#1': `monitor mymaster 127.0.0.1 ${master.port} 2`,
          'sentinel#2': 'down-after-milliseconds mymaster 500',
          'sentinel#3': 'failover-timeout mymaster 3000',
        },
      }),
    ),
  )
  const seen = async (sentinel: RedisServer) => {
    const info = String(await sentinel.ask('INFO', 'sentinel'))
    return info.includes(`slaves=${replicas},sentinels=3`) && info.includes('status=ok')
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
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/mymaster/0`,
    servers,
    sentinels,
    master: async () => {
      const address = await firstSentinel().ask('SENTINEL', 'get-master-addr-by-name', 'mymaster')
      const port = Number(Array.isArray(address) ? address[1] : undefined)
      const found = servers.find((server) => server.port === port)
      if (!found) throw new Error(`no server has port ${port}`)
      return found
    },
    failover: async () => {
      await firstSentinel().ask('SENTINEL', 'failover', 'mymaster')
    },
    remove: () => removeAll([...sentinels, ...servers]),
  }
}
