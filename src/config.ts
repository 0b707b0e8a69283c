import { hostname } from 'node:os'
import { SpillwayError } from './errors.js'
import { LIMIT_RANGES, parseTenantLimits, type TenantLimitTable } from './tenant-limits.js'

type Kind = 'string' | 'integer' | 'boolean' | 'list' | 'choice' | 'tenant limits'

interface Row {
  readonly env: string
  readonly kind: Kind
  readonly fallback: string
  readonly unit?: string
  readonly choices?: readonly string[]
  readonly min?: number
  readonly max?: number
  /** Never shown. */
  readonly secret?: boolean
  readonly says: string
}

/** Every option of the process: one table makes the validation, the `config` command and the docs. */
export const OPTIONS = {
  databaseUrl: {
    env: 'DATABASE_URL',
    kind: 'string',
    fallback: '',
    secret: true,
    says: 'PostgreSQL, as a URL; empty or "embedded": PGlite in this process.',
  },
  listenUrl: {
    env: 'SPILLWAY_LISTEN_URL',
    kind: 'string',
    fallback: '',
    secret: true,
    says: 'PostgreSQL without a pooler, for LISTEN; empty: as DATABASE_URL. "off": poll only.',
  },
  redisUrl: {
    env: 'REDIS_URL',
    kind: 'string',
    fallback: '',
    secret: true,
    says: 'Redis, as a URL: redis://, rediss:// (TLS), redis+sentinel://host:26379,host2/master/db, redis+cluster://host,host2; with user:password@ where needed.',
  },
  redisHost: {
    env: 'REDIS_HOST',
    kind: 'string',
    fallback: '',
    says: 'Redis, as a host, where REDIS_URL is empty; both empty: without Redis.',
  },
  redisPort: {
    env: 'REDIS_PORT',
    kind: 'integer',
    fallback: '6379',
    min: 1,
    max: 65535,
    says: 'Port beside REDIS_HOST.',
  },
  redisDb: {
    env: 'REDIS_DB',
    kind: 'integer',
    fallback: '0',
    min: 0,
    max: 65535,
    says: 'Number of the database beside REDIS_HOST.',
  },
  redisPassword: {
    env: 'REDIS_PASSWORD',
    kind: 'string',
    fallback: '',
    secret: true,
    says: 'Password beside REDIS_HOST.',
  },
  redisTlsCa: {
    env: 'SPILLWAY_REDIS_TLS_CA',
    kind: 'string',
    fallback: '',
    says: 'PEM file of the authority behind the certificates of rediss:// servers; empty: those that Node trusts.',
  },
  redisCommandTimeoutMs: {
    env: 'SPILLWAY_REDIS_COMMAND_TIMEOUT_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '400',
    min: 20,
    max: 60_000,
    says: 'Time that a command of Redis may take; a server that is slower counts as away.',
  },
  redisConnectTimeoutMs: {
    env: 'SPILLWAY_REDIS_CONNECT_TIMEOUT_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '1000',
    min: 20,
    max: 60_000,
    says: 'Time that a connect to Redis may take.',
  },
  redisReconnectMs: {
    env: 'SPILLWAY_REDIS_RECONNECT_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '500',
    min: 10,
    max: 60_000,
    says: 'Longest pause between two attempts to connect to Redis; each pause is 50 to 100 % of it.',
  },
  redisProbeMs: {
    env: 'SPILLWAY_REDIS_PROBE_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '1000',
    min: 20,
    max: 60_000,
    says: 'How often a subscription of Redis must prove that it still hears.',
  },
  port: {
    env: 'SPILLWAY_PORT',
    kind: 'integer',
    fallback: '7070',
    min: 0,
    max: 65535,
    says: 'Port of the server; 0: any free one.',
  },
  host: {
    env: 'SPILLWAY_HOST',
    kind: 'string',
    fallback: '127.0.0.1',
    says: 'Address the server listens on.',
  },
  dataDir: {
    env: 'SPILLWAY_DATA_DIR',
    kind: 'string',
    fallback: './.spillway',
    says: 'Folder of the embedded store.',
  },
  instanceId: {
    env: 'SPILLWAY_INSTANCE_ID',
    kind: 'string',
    fallback: '',
    says: 'Name of this instance; empty: host name and process id.',
  },
  auth: {
    env: 'SPILLWAY_AUTH',
    kind: 'choice',
    choices: ['none', 'keys', 'jwt'],
    fallback: 'none',
    says: 'Who may call: none (loopback only), keys (spillway key create), jwt.',
  },
  jwtSecret: {
    env: 'SPILLWAY_JWT_SECRET',
    kind: 'string',
    fallback: '',
    secret: true,
    says: 'HS256 secret for auth jwt, at least 32 bytes.',
  },
  jwksUrl: { env: 'SPILLWAY_JWKS_URL', kind: 'string', fallback: '', says: 'JWKS address for auth jwt.' },
  jwtIssuer: {
    env: 'SPILLWAY_JWT_ISSUER',
    kind: 'string',
    fallback: '',
    says: 'Required iss claim; empty: any.',
  },
  jwtAudience: {
    env: 'SPILLWAY_JWT_AUDIENCE',
    kind: 'string',
    fallback: '',
    says: 'Required aud claim; empty: any.',
  },
  allowedHosts: {
    env: 'SPILLWAY_ALLOWED_HOSTS',
    kind: 'list',
    fallback: '',
    says: 'Host names accepted besides loopback when auth is none, comma-separated.',
  },
  corsOrigins: {
    env: 'SPILLWAY_CORS_ORIGINS',
    kind: 'list',
    fallback: '',
    says: 'Origins that browsers may call from, comma-separated; empty: the same origin only.',
  },
  logLevel: {
    env: 'SPILLWAY_LOG_LEVEL',
    kind: 'choice',
    choices: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    fallback: 'info',
    says: 'Least level that is logged.',
  },
  maxPayloadBytes: {
    env: 'SPILLWAY_MAX_PAYLOAD_BYTES',
    kind: 'integer',
    unit: 'bytes',
    fallback: '262144',
    min: 1,
    max: 16_777_216,
    says: 'Largest payload of an event, as JSON.',
  },
  maxBatchEvents: {
    env: 'SPILLWAY_MAX_BATCH_EVENTS',
    kind: 'integer',
    unit: 'events',
    fallback: '1000',
    min: 1,
    max: 10_000,
    says: 'Most events in one publish.',
  },
  maxBodyBytes: {
    env: 'SPILLWAY_MAX_BODY_BYTES',
    kind: 'integer',
    unit: 'bytes',
    fallback: '4194304',
    ...LIMIT_RANGES.maxBodyBytes,
    says: 'Largest body of a request.',
  },
  retentionEvents: {
    env: 'SPILLWAY_RETENTION_EVENTS',
    kind: 'integer',
    unit: 'events',
    fallback: '10000',
    min: 1,
    max: 1_000_000_000,
    says: 'Events kept in a flow.',
  },
  retentionAgeMs: {
    env: 'SPILLWAY_RETENTION_AGE_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '2592000000',
    min: 1000,
    max: 3_153_600_000_000,
    says: 'Age at which events are trimmed (30 days).',
  },
  retentionFlowMs: {
    env: 'SPILLWAY_RETENTION_FLOW_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '7776000000',
    min: 1000,
    max: 3_153_600_000_000,
    says: 'Silence after which a flow without events, or without a log, is forgotten with its state (90 days).',
  },
  backstopMs: {
    env: 'SPILLWAY_BACKSTOP_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '1000',
    min: 20,
    max: 60_000,
    says: 'How often the heads of watched flows are compared while LISTEN works; without it, a quarter of that.',
  },
  poolSize: {
    env: 'SPILLWAY_POOL_SIZE',
    kind: 'integer',
    fallback: '10',
    min: 2,
    max: 1000,
    says: 'PostgreSQL connections of this process.',
  },
  maxConnectionsPerTenant: {
    env: 'SPILLWAY_MAX_CONNECTIONS_PER_TENANT',
    kind: 'integer',
    fallback: '10000',
    ...LIMIT_RANGES.maxConnections,
    says: 'Open streams of one tenant on this instance.',
  },
  tenantLimits: {
    env: 'SPILLWAY_TENANT_LIMITS',
    kind: 'tenant limits',
    fallback: '',
    says: 'Single tenants that may have more or less than all others, as JSON: `{"acme":{"maxBodyBytes":8388608,"maxConnections":50}}`.',
  },
  streamBufferBytes: {
    env: 'SPILLWAY_STREAM_BUFFER_BYTES',
    kind: 'integer',
    unit: 'bytes',
    fallback: '262144',
    min: 65_536,
    max: 67_108_864,
    says: 'Unsent bytes at which a slow reader gets nothing more until it has read.',
  },
  streamStallMs: {
    env: 'SPILLWAY_STREAM_STALL_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '30000',
    min: 100,
    max: 3_600_000,
    says: 'Time without progress after which a slow reader is cut; it can resume.',
  },
  streamLifeMs: {
    env: 'SPILLWAY_STREAM_LIFE_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '600000',
    min: 1000,
    max: 86_400_000,
    says: 'Longest life of a stream; each lives 80 to 100 % of it, then reconnects.',
  },
  heartbeatMs: {
    env: 'SPILLWAY_HEARTBEAT_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '15000',
    min: 100,
    max: 600_000,
    says: 'Interval of the comment that keeps a stream open.',
  },
  drainMs: {
    env: 'SPILLWAY_DRAIN_MS',
    kind: 'integer',
    unit: 'ms',
    fallback: '10000',
    min: 0,
    max: 600_000,
    says: 'Time a stopping server takes to end its streams.',
  },
} as const satisfies Record<string, Row>

type Options = typeof OPTIONS
export type OptionName = keyof Options

type ValueOf<R extends Row> = R extends { kind: 'integer' }
  ? number
  : R extends { kind: 'boolean' }
    ? boolean
    : R extends { kind: 'list' }
      ? readonly string[]
      : R extends { kind: 'choice'; choices: readonly (infer C)[] }
        ? C
        : R extends { kind: 'tenant limits' }
          ? TenantLimitTable
          : string

export type Config = { readonly [N in OptionName]: ValueOf<Options[N]> }

/** Names read by other programs or by parts that are not of this process: known, not read here. */
const FOREIGN = new Set<string>([])

export interface ConfigEntry {
  readonly name: OptionName
  readonly env: string
  readonly value: Config[OptionName]
  readonly from: 'environment' | 'default'
  readonly row: Row
}

/**
 * Reads the configuration from an environment. Errors: `CONFIG_INVALID`, one line that names the variable, for
 * a bad value or an unknown `SPILLWAY_*` name.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  return Object.fromEntries(explainConfig(env).map((entry) => [entry.name, entry.value])) as Config
}

/** As `readConfig`, with where every value came from. */
export function explainConfig(env: Readonly<Record<string, string | undefined>>): ConfigEntry[] {
  const rows = Object.entries(OPTIONS) as [OptionName, Row][]
  const known = new Set(rows.map(([, row]) => row.env))
  for (const name of Object.keys(env)) {
    if (name.startsWith('SPILLWAY_') && !known.has(name) && !FOREIGN.has(name)) {
      throw new SpillwayError(
        'CONFIG_INVALID',
        `${name} is not an option of Spillway; \`spillway config\` lists them`,
      )
    }
  }
  return rows.map(([name, row]) => {
    const text = env[row.env]
    const given = text !== undefined && text !== ''
    return {
      name,
      env: row.env,
      value: parse(row, given ? text : row.fallback),
      from: given ? 'environment' : 'default',
      row,
    }
  })
}

function parse(row: Row, text: string): Config[OptionName] {
  switch (row.kind) {
    case 'integer': {
      const value = Number(text)
      const { min = 0, max = Number.MAX_SAFE_INTEGER } = row
      if (!/^\d+$/.test(text) || value < min || value > max) {
        throw new SpillwayError(
          'CONFIG_INVALID',
          `${row.env} must be a whole number from ${min} to ${max}, not "${text}"`,
        )
      }
      return value
    }
    case 'choice':
      if (!row.choices?.includes(text)) {
        throw new SpillwayError(
          'CONFIG_INVALID',
          `${row.env} must be one of ${row.choices?.join(', ')}, not "${text}"`,
        )
      }
      return text as Config[OptionName]
    case 'list':
      return text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')
    case 'tenant limits':
      return parseTenantLimits(row.env, text)
    default:
      return text as Config[OptionName]
  }
}

/** The instance's name where none is configured. */
export function defaultInstanceId(): string {
  return `${hostname()}-${process.pid}`
}
