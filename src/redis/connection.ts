import { Cluster, type CommonRedisOptions, Redis } from 'ioredis'
import type { HostPort } from './address.js'
import { type Admit, connectorTo, DISCONNECT_MS, type Failed, sentinelConnectorTo } from './connector.js'
import type { RedisSettings } from './settings.js'

type Use = 'commands' | 'subscriber'

const FIRST_PAUSE_MS = 25

/** Grows to `reconnectMs`, with jitter, so that a fleet does not come back in step. Never gives up. */
export function backoff({ reconnectMs }: Pick<RedisSettings, 'reconnectMs'>, attempt: number): number {
  return Math.min(reconnectMs, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 16)) * (0.5 + Math.random() / 2)
}

function common(settings: RedisSettings, use: Use): CommonRedisOptions {
  const { address, commandTimeoutMs, connectTimeoutMs } = settings
  return {
    username: address.username,
    password: address.password,
    db: address.db,
    connectionName: `${settings.name}:${use}`,
    disableClientInfo: true,
    connectTimeout: connectTimeoutMs,
    commandTimeout: commandTimeoutMs,
    // A server that hangs with the connection open would cost every later call its whole time-out.
    ...(use === 'commands' ? { socketTimeout: commandTimeoutMs + 50 } : {}),
    keepAlive: 10_000,
    // The connectors below see to it; this tells the driver to wait for the handshake, and to say what it failed with.
    ...(address.tls ? { tls: {} } : {}),
    retryStrategy: (attempt) => backoff(settings, attempt),
    maxLoadingRetryTime: 100,
    // The driver's own patience hides an outage for half a minute, and repeats commands whose outcome is unknown.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // For one server `StandaloneLink` does better.
    enableAutoPipelining: use === 'commands' && settings.address.kind === 'cluster',
    // A master that became a replica keeps its connections: leave it, and look for the master.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    lazyConnect: true,
  }
}

const tlsOf = ({ address, ca }: RedisSettings) => (address.tls ? { ca } : undefined)

const TIMER = 'socketTimeoutTimer'

/**
 * The driver's timer for a socket that is silent goes on when the socket is gone, and would cut the next one: a
 * connection that was made anew would be lost again within half a second.
 */
function withoutTimer(connection: Redis): Redis {
  return connection.on('close', () => {
    clearTimeout(Reflect.get(connection, TIMER))
    Reflect.set(connection, TIMER, undefined)
  })
}

/** A connection to one server, or to the master that the sentinels name. Not yet begun. */
export function connectionTo(settings: RedisSettings, use: Use, admit: Admit, at?: HostPort): Redis {
  const { address } = settings
  const options = common(settings, use)
  if (address.kind !== 'sentinel') {
    return withoutTimer(
      new Redis({
        ...options,
        ...(at ?? address.nodes[0]),
        Connector: connectorTo(admit, tlsOf(settings)),
      }),
    )
  }
  const tls = tlsOf(settings)
  const Connector = sentinelConnectorTo(admit, {
    sentinels: address.nodes.map(({ host, port }) => ({ host, port })),
    name: address.master,
    role: 'master',
    connectTimeout: settings.connectTimeoutMs,
    disconnectTimeout: DISCONNECT_MS,
    sentinelCommandTimeout: settings.commandTimeoutMs,
    sentinelRetryStrategy: (attempt) => backoff(settings, attempt),
    ...(tls ? { tls: { ca: tls.ca }, sentinelTLS: { ca: tls.ca }, enableTLSForSentinelMode: true } : {}),
  })
  return withoutTimer(new Redis({ ...options, Connector }))
}

/** A connection to one sentinel, for its messages. Not yet begun. */
export function connectionToSentinel(settings: RedisSettings, at: HostPort): Redis {
  const tls = tlsOf(settings)
  return new Redis({
    ...at,
    ...(tls ? { tls: { ca: tls.ca } } : {}),
    connectionName: `${settings.name}:sentinel`,
    disableClientInfo: true,
    connectTimeout: settings.connectTimeoutMs,
    keepAlive: 10_000,
    // A sentinel is no server of data: it does not say what the check asks for.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    retryStrategy: (attempt) => backoff(settings, attempt),
    lazyConnect: true,
  })
}

/** The connections to the masters of a Cluster. Not yet begun. */
export function clusterConnection(settings: RedisSettings, admit: Admit, failed: Failed): Cluster {
  const { retryStrategy, enableOfflineQueue, lazyConnect, ...options } = common(settings, 'commands')
  const cluster = new Cluster([...settings.address.nodes], {
    lazyConnect: true,
    enableAutoPipelining: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: (attempt) => backoff(settings, attempt),
    clusterNodeRetryStrategy: (attempt) => backoff(settings, attempt),
    slotsRefreshTimeout: settings.commandTimeoutMs,
    slotsRefreshInterval: 2000,
    // Each of these would repeat commands behind the caller's back, some of which may have been carried out.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    redisOptions: { ...options, Connector: connectorTo(admit, tlsOf(settings), failed) },
  })
  return cluster.on('+node', withoutTimer)
}
