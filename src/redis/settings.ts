import { readFileSync } from 'node:fs'
import type { Config } from '../config.js'
import { SpillwayError } from '../errors.js'
import { parseAddress, type RedisAddress } from './address.js'

/** How to reach Redis and how long to wait for it. */
export interface RedisSettings {
  readonly address: RedisAddress
  /** For an answer, also while connecting. A hung server costs each call this and no more. */
  readonly commandTimeoutMs: number
  readonly connectTimeoutMs: number
  /** Longest pause between two attempts to connect. */
  readonly reconnectMs: number
  /** Between two proofs that a subscription is alive. */
  readonly probeMs: number
  /** Certificate of the authority that signed the server's, as PEM; undefined: those that Node trusts. */
  readonly ca: string | undefined
  /** How the connections call themselves in CLIENT LIST. */
  readonly name: string
}

type Options = Pick<
  Config,
  | 'redisUrl'
  | 'redisHost'
  | 'redisPort'
  | 'redisDb'
  | 'redisPassword'
  | 'redisTlsCa'
  | 'redisCommandTimeoutMs'
  | 'redisConnectTimeoutMs'
  | 'redisReconnectMs'
  | 'redisProbeMs'
>

/** The settings of this configuration; undefined if it names no Redis. Errors: `CONFIG_INVALID`. */
export function redisSettings(config: Options, name: string): RedisSettings | undefined {
  const address = addressIn(config)
  if (!address) return undefined
  return {
    address,
    commandTimeoutMs: config.redisCommandTimeoutMs,
    connectTimeoutMs: config.redisConnectTimeoutMs,
    reconnectMs: config.redisReconnectMs,
    probeMs: config.redisProbeMs,
    ca: config.redisTlsCa === '' ? undefined : certificate(config.redisTlsCa),
    // Redis refuses spaces and what lies outside of printable ASCII.
    name: `spillway:${name.replace(/[^!-~]/g, '_')}`,
  }
}

/** Whether the configuration names a Redis. */
export function namesRedis({ redisUrl, redisHost }: Pick<Config, 'redisUrl' | 'redisHost'>): boolean {
  return redisUrl !== '' || redisHost !== ''
}

function addressIn(config: Options): RedisAddress | undefined {
  const { redisUrl, redisHost, redisPort, redisDb, redisPassword } = config
  if (redisUrl !== '') return parseAddress(redisUrl)
  if (redisHost === '') return undefined
  return {
    kind: 'standalone',
    nodes: [{ host: redisHost, port: redisPort }],
    master: '',
    db: redisDb,
    username: undefined,
    password: redisPassword === '' ? undefined : redisPassword,
    tls: false,
  }
}

function certificate(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new SpillwayError('CONFIG_INVALID', `SPILLWAY_REDIS_TLS_CA: ${path} cannot be read`, { cause })
  }
}
