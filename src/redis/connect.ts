import { readFileSync } from 'node:fs'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { SpillwayError } from '../errors.js'

export interface RedisSettings {
  /** `redis://`, `rediss://`, `redis+sentinel://host:port,…/name/db`, `redis+cluster://host:port,…`. */
  readonly url: string
  /** For a URL that names none. */
  readonly password?: string | undefined
  /** PEM file of the authority that signed the server's certificate; empty: the system's. */
  readonly caFile: string
  /** ms after which a command without an answer has failed; its outcome is then unknown. */
  readonly commandTimeoutMs: number
  readonly connectTimeoutMs: number
}

/** Where a URL leads. */
interface Target {
  readonly kind: 'standalone' | 'sentinel' | 'cluster'
  readonly hosts: { readonly host: string; readonly port: number }[]
  readonly name: string
  readonly db: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: boolean
}

const URL_FORM = /^redis(s)?(\+sentinel|\+cluster)?(s)?:\/\/(?:([^@]*)@)?([^/?]+)(?:\/([^?]*))?$/

/** Errors: `CONFIG_INVALID`; the message does not repeat the URL, which may hold a password. */
export function parseRedisUrl(url: string): Target {
  const match = URL_FORM.exec(url)
  const wrong = (what: string) => new SpillwayError('CONFIG_INVALID', `REDIS_URL ${what}`)
  if (!match)
    throw wrong(
      'must look like redis://host:6379/0, rediss://…, redis+sentinel://host:26379/name/0 or redis+cluster://host:6379',
    )
  const [, tls, form, tlsToo, credentials, places = '', path = ''] = match
  const kind = form === '+sentinel' ? 'sentinel' : form === '+cluster' ? 'cluster' : 'standalone'
  const hosts = places.split(',').map((place) => {
    const parts = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(place)
    if (!parts) throw wrong(`names a host that cannot be read`)
    return {
      host: (parts[1] ?? '').replace(/^\[|\]$/g, ''),
      port: Number(parts[2] ?? (kind === 'sentinel' ? 26379 : 6379)),
    }
  })
  const segments = path.split('/').filter((part) => part !== '')
  const name = kind === 'sentinel' ? (segments.shift() ?? 'mymaster') : ''
  const db = Number(segments.shift() ?? 0)
  if (!Number.isInteger(db) || db < 0) throw wrong('names a database that is not a number')
  if (kind === 'cluster' && db !== 0) throw wrong('names a database: a Cluster has only one')
  const colon = credentials?.indexOf(':') ?? -1
  const [user, password] =
    colon < 0 ? ['', credentials] : [credentials?.slice(0, colon), credentials?.slice(colon + 1)]
  const plain = (text: string | undefined) => (text ? decodeURIComponent(text) : undefined)
  return {
    kind,
    hosts,
    name,
    db,
    username: plain(user),
    password: plain(password),
    tls: Boolean(tls || tlsToo),
  }
}

/** Reconnects for ever, soon at first. */
function pause(attempt: number): number {
  return Math.min(1000, 50 * 2 ** Math.min(attempt, 5)) * (0.8 + 0.4 * Math.random())
}

/**
 * Opens a connection that never queues while it is away and never repeats a command by itself: who sent it
 * decides, because only that one knows whether it may be carried out twice.
 */
export function connect(settings: RedisSettings, purpose: 'commands' | 'subscriber'): Redis | Cluster {
  const target = parseRedisUrl(settings.url)
  const options: RedisOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    enableAutoPipelining: purpose === 'commands',
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: null,
    connectTimeout: settings.connectTimeoutMs,
    retryStrategy: pause,
    connectionName: `spillway-${purpose}`,
    ...(purpose === 'commands' && { commandTimeout: settings.commandTimeoutMs }),
    ...(target.username !== undefined && { username: target.username }),
    ...((target.password ?? settings.password) && { password: target.password ?? settings.password }),
    ...(target.tls && { tls: settings.caFile === '' ? {} : { ca: readFileSync(settings.caFile) } }),
  }
  if (target.kind === 'cluster') {
    const { lazyConnect, retryStrategy, enableAutoPipelining, ...redisOptions } = options
    return new Cluster(target.hosts, {
      redisOptions,
      lazyConnect: true,
      enableOfflineQueue: false,
      enableAutoPipelining: purpose === 'commands',
      shardedSubscribers: purpose === 'subscriber',
      clusterRetryStrategy: pause,
      // A refused command was not carried out: a moved slot is followed a few times, a dead node is not waited for.
      maxRedirections: 4,
      retryDelayOnFailover: 50,
      slotsRefreshTimeout: settings.connectTimeoutMs,
      slotsRefreshInterval: 5000,
    })
  }
  if (target.kind === 'sentinel') {
    return new Redis({
      ...options,
      db: target.db,
      sentinels: target.hosts,
      name: target.name,
      sentinelRetryStrategy: pause,
    })
  }
  const [{ host, port } = { host: '127.0.0.1', port: 6379 }] = target.hosts
  return new Redis({ ...options, db: target.db, host, port })
}
