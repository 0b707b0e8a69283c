import type { Authority } from './certificates.js'
import { eventually } from './eventually.js'
import { freePort } from './processes.js'
import { type RedisConfig, type RedisServer, type RedisSet, removeAll, startServer } from './redis.js'

const SLOTS = 16384
const MASTERS = 3

export interface ClusterSet extends RedisSet {
  /** The master that serves this key now, as the first server that answers knows it. */
  ownerOf(key: string): Promise<RedisServer>
  /** Moves the slot of a key to another master, with everything in it, while clients go on using it. */
  move(key: string, to: RedisServer): Promise<void>
}

/**
 * Starts a Cluster of three masters that share the slots; the first `replicas` of them have a replica each. With an
 * authority they speak TLS to each other, and to who comes by the URL.
 */
export async function startRedisCluster({
  replicas = 0,
  config = {},
  authority,
}: {
  replicas?: number
  config?: RedisConfig
  authority?: Authority
} = {}): Promise<ClusterSet> {
  const lines = {
    'cluster-enabled': 'yes',
    'cluster-node-timeout': '2000',
    'cluster-require-full-coverage': 'yes',
    'cluster-config-file': 'nodes.conf',
    'repl-diskless-sync-delay': '0',
    appendonly: 'yes',
    ...config,
  }
  const ports = await clusterPorts(MASTERS + replicas)
  // Its bus is 10,000 above the port by which the servers know each other.
  const plain = authority && (await Promise.all(ports.map(() => freePort())))
  const servers = await Promise.all(
    ports.map((port, i) =>
      authority && plain
        ? startServer({
            port: plain[i] as number,
            config: { ...lines, ...authority.redisLines(port), 'tls-cluster': 'yes' },
          })
        : startServer({ port, config: lines }),
    ),
  )
  const share = Math.ceil(SLOTS / MASTERS)
  await Promise.all(
    servers.slice(0, MASTERS).map(async (server, i) => {
      const last = Math.min((i + 1) * share, SLOTS) - 1
      await server.ask('CLUSTER', 'ADDSLOTSRANGE', String(i * share), String(last))
      await server.ask('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
    }),
  )
  const [first] = servers as [RedisServer]
  for (const port of ports.slice(1)) await first.ask('CLUSTER', 'MEET', '127.0.0.1', String(port))
  const saidByAll = (command: readonly string[], ...what: readonly RegExp[]) =>
    eventually(
      async () => {
        const said = await Promise.all(servers.map((server) => server.ask(...command)))
        return said.every((text) => what.every((one) => one.test(String(text))))
      },
      { withinMs: 20_000, what: 'the cluster' },
    )
  await saidByAll(
    ['CLUSTER', 'INFO'],
    /cluster_state:ok/,
    new RegExp(`cluster_known_nodes:${MASTERS + replicas}`),
  )
  for (const [i, replica] of servers.slice(MASTERS).entries()) {
    const master = servers[i] as RedisServer
    await replica.ask('CLUSTER', 'REPLICATE', await idOf(master))
    await eventually(
      async () => /master_link_status:up/.test(String(await replica.ask('INFO', 'replication'))),
      { withinMs: 20_000, what: 'the replica' },
    )
  }
  // A failover needs the votes of masters that know whose replica it is.
  if (replicas > 0) await saidByAll(['CLUSTER', 'NODES'], new RegExp(`(?:[ ,]slave [^]*){${replicas}}`))
  return {
    url: `${authority ? 'rediss' : 'redis'}+cluster://${ports.map((port) => `127.0.0.1:${port}`).join(',')}`,
    servers,
    ownerOf: (key) => ownerOf(servers, key),
    move: (key, to) => move(servers, key, to),
    remove: () => removeAll(servers),
  }
}

async function ownerOf(servers: readonly RedisServer[], key: string): Promise<RedisServer> {
  const running = servers.find(({ pid }) => pid !== undefined) as RedisServer
  const slot = Number(await running.ask('CLUSTER', 'KEYSLOT', key))
  const ranges = (await running.ask('CLUSTER', 'SLOTS')) as readonly [number, number, [string, number]][]
  const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1]
  const found = servers.find((server) => server.port === port)
  if (!found) throw new Error(`nobody serves slot ${slot}`)
  return found
}

async function move(servers: readonly RedisServer[], key: string, to: RedisServer): Promise<void> {
  const from = await ownerOf(servers, key)
  const slot = String(await from.ask('CLUSTER', 'KEYSLOT', key))
  const [source, target] = [await idOf(from), await idOf(to)]
  await to.ask('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source)
  await from.ask('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target)
  for (;;) {
    const keys = (await from.ask('CLUSTER', 'GETKEYSINSLOT', slot, '10')) as readonly string[]
    if (keys.length === 0) break
    await from.ask('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys)
  }
  for (const server of [to, from]) await server.ask('CLUSTER', 'SETSLOT', slot, 'NODE', target)
}

async function idOf(server: RedisServer): Promise<string> {
  return String(await server.ask('CLUSTER', 'MYID'))
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
