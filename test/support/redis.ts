import { once } from 'node:events'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { eventually } from './eventually.js'
import {
  asServerUser,
  endProcess,
  freePort,
  type Server,
  serverFolder,
  startProcess,
  tieToThisProcess,
} from './processes.js'
import { requirePrograms } from './programs.js'

/** Configuration lines, `['maxmemory', '10mb']` and the like. */
export type RedisConfig = Readonly<Record<string, string>>

/** A Redis server of its own, for tests that break it. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  /** Folder of its append-only file and its dump. */
  readonly folder: string
  /** Process id; undefined while it is stopped. */
  readonly pid: number | undefined
  /** One command on a connection of its own; each reply as text, arrays as arrays. Errors: the server's own words. */
  ask(...command: readonly string[]): Promise<RedisReply>
  /** SIGKILL: nothing is written any more. */
  kill(): Promise<void>
  /** SIGTERM: what the configuration wants kept is written. */
  stop(): Promise<void>
  /** Starts again on the same port; `empty` without the files of before. */
  start(how?: 'same' | 'empty'): Promise<void>
  /** SIGSTOP: connections stay, nothing answers. */
  freeze(): void
  /** SIGCONT */
  thaw(): void
  /** Stops it and removes its files. */
  remove(): Promise<void>
}

export type RedisReply = string | number | null | readonly RedisReply[]

interface Start {
  readonly config?: RedisConfig
  /** Besides the configuration: `--sentinel`. */
  readonly mode?: 'sentinel'
  readonly port?: number
}

/** Starts Redis on a free port, with the append-only file of production. */
export async function startRedis(config: RedisConfig = {}): Promise<RedisServer> {
  return startServer({ config: { appendonly: 'yes', appendfsync: 'everysec', ...config } })
}

async function startServer({ config = {}, mode, port: wanted }: Start): Promise<RedisServer> {
  const { redis } = requirePrograms(['redis'])
  const folder = serverFolder('redis')
  const untie = tieToThisProcess(folder)
  const port = wanted ?? (await freePort())
  const file = join(folder, 'redis.conf')
  const lines = { bind: '127.0.0.1', port: String(port), dir: folder, save: '""', ...config }
  writeFileSync(
    file,
    Object.entries(lines)
      // `sentinel#1`: the same name may stand several times.
      .map(([name, value]) => `${name.replace(/#.*/, '')} ${value}\n`)
      .join(''),
  )
  // Sentinels write it anew, as the user that they run as.
  chmodSync(file, 0o666)
  const auth = config.requirepass === undefined ? [] : ['AUTH', config.requirepass]
  const start = () =>
    startProcess({
      command: redis,
      args: [file, ...(mode === 'sentinel' ? ['--sentinel'] : [])],
      folder,
      options: { ...asServerUser(redis), cwd: folder },
      ready: async () => {
        try {
          await askOnce(port, auth, ['PING'])
          return true
        } catch {
          return false
        }
      },
    })
  let server: Server | undefined = await start()
  const end = async (signal: NodeJS.Signals) => {
    if (!server) return
    const ended = endProcess(server, signal)
    // A stopped process does not see SIGTERM before it goes on.
    server.signal('SIGCONT')
    await ended
    server = undefined
  }
  const self: RedisServer = {
    port,
    url: `redis://${config.requirepass === undefined ? '' : `:${encodeURIComponent(config.requirepass)}@`}127.0.0.1:${port}`,
    folder,
    get pid() {
      return server?.child.pid
    },
    ask: (...command) => askOnce(port, auth, command),
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    start: async (how = 'same') => {
      if (server) return
      if (how === 'empty') {
        for (const name of ['appendonlydir', 'appendonly.aof', 'dump.rdb'])
          rmSync(join(folder, name), { recursive: true, force: true })
      }
      server = await start()
    },
    freeze: () => void server?.signal('SIGSTOP'),
    thaw: () => void server?.signal('SIGCONT'),
    remove: async () => {
      await end('SIGKILL')
      await untie()
    },
  }
  return self
}

export interface RedisSet {
  /** `REDIS_URL` of the whole. */
  readonly url: string
  readonly servers: readonly RedisServer[]
  remove(): Promise<void>
}

/** Starts a Cluster of three masters that share the slots. */
export async function startRedisCluster(config: RedisConfig = {}): Promise<RedisSet> {
  const cluster = {
    'cluster-enabled': 'yes',
    'cluster-node-timeout': '2000',
    'cluster-require-full-coverage': 'yes',
    ...config,
  }
  const ports = await clusterPorts(3)
  const servers = await Promise.all(
    ports.map((port) => startServer({ port, config: { ...cluster, 'cluster-config-file': 'nodes.conf' } })),
  )
  const [first] = servers
  if (!first) throw new Error('a cluster needs servers')
  const share = Math.ceil(16384 / servers.length)
  await Promise.all(
    servers.map(async (server, i) => {
      await server.ask(
        'CLUSTER',
        'ADDSLOTSRANGE',
        String(i * share),
        String(Math.min((i + 1) * share, 16384) - 1),
      )
      await server.ask('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
    }),
  )
  for (const { port } of servers) await first.ask('CLUSTER', 'MEET', '127.0.0.1', String(port))
  for (const server of servers) {
    await eventually(
      async () => {
        const info = String(await server.ask('CLUSTER', 'INFO'))
        return /cluster_state:ok/.test(info) && /cluster_known_nodes:3/.test(info)
      },
      { withinMs: 20_000, what: 'the cluster' },
    )
  }
  return {
    url: `redis+cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    servers,
    remove: () => removeAll(servers),
  }
}

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

/** Free ports whose bus port, 10,000 above, is one too. */
async function clusterPorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = await freePort()
    // The ephemeral range may lie above the ports that leave room for the bus.
    ports.add(port > 50_000 ? port - 30_000 : port)
  }
  return [...ports]
}

async function removeAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.remove()))
}

/** Speaks RESP on a bare socket: what the tests say to a server must not pass through what they test. */
async function askOnce(
  port: number,
  auth: readonly string[],
  command: readonly string[],
): Promise<RedisReply> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    const commands = auth.length > 0 ? [auth, command] : [command]
    for (const words of commands) {
      socket.write(
        `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
      )
    }
    let read = Buffer.alloc(0)
    for await (const chunk of socket) {
      read = Buffer.concat([read, chunk])
      let at = 0
      let reply: RedisReply = null
      for (let i = 0; i < commands.length; i++) {
        const parsed = parse(read, at)
        if (!parsed) break
        ;[reply, at] = parsed
        if (i === commands.length - 1) return reply
      }
    }
    throw new Error('the connection was closed')
  } finally {
    socket.destroy()
  }
}

/** A reply and where the next one begins; undefined if it is not all there yet. */
function parse(read: Buffer, from: number): [RedisReply, number] | undefined {
  const end = read.indexOf('\r\n', from)
  if (end < 0) return undefined
  const line = read.toString('utf8', from + 1, end)
  const next = end + 2
  switch (String.fromCharCode(read[from] ?? 0)) {
    case '-':
      throw new Error(line)
    case ':':
      return [Number(line), next]
    case '$': {
      const size = Number(line)
      if (size < 0) return [null, next]
      return read.length < next + size + 2
        ? undefined
        : [read.toString('utf8', next, next + size), next + size + 2]
    }
    case '*': {
      if (Number(line) < 0) return [null, next]
      const items: RedisReply[] = []
      let at = next
      while (items.length < Number(line)) {
        const item = parse(read, at)
        if (!item) return undefined
        items.push(item[0])
        at = item[1]
      }
      return [items, at]
    }
    default:
      return [line, next]
  }
}
