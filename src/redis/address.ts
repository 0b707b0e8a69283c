import { SpillwayError } from '../errors.js'

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Where Redis is, and as whom we speak to it. */
export interface RedisAddress {
  readonly kind: 'standalone' | 'sentinel' | 'cluster'
  /** The server; the sentinels; some nodes of the Cluster. */
  readonly nodes: readonly HostPort[]
  /** What the sentinels call the master. */
  readonly master: string
  readonly db: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: boolean
}

const SCHEMES = new Map<string, Pick<RedisAddress, 'kind' | 'tls'>>([
  ['redis', { kind: 'standalone', tls: false }],
  ['rediss', { kind: 'standalone', tls: true }],
  ['redis+sentinel', { kind: 'sentinel', tls: false }],
  ['rediss+sentinel', { kind: 'sentinel', tls: true }],
  ['redis+cluster', { kind: 'cluster', tls: false }],
  ['rediss+cluster', { kind: 'cluster', tls: true }],
])

const FORM = /^([a-z+]+):\/\/(?:([^@/]*)@)?([^/?#]*)(?:\/([^?#]*))?$/

/**
 * Reads `redis://user:password@host:port/db`, `rediss://…` (TLS), `redis+sentinel://host:26379,host2/master/db` and
 * `redis+cluster://host:port,host2:port`. Errors: `CONFIG_INVALID`, without the password in it.
 */
export function parseAddress(url: string): RedisAddress {
  const [, scheme = '', login, hosts = '', path = ''] = FORM.exec(url) ?? []
  const found = SCHEMES.get(scheme)
  if (!found) throw invalid(`must begin with one of ${[...SCHEMES.keys()].map((s) => `${s}://`).join(' ')}`)
  const { kind } = found
  const port = kind === 'sentinel' ? 26379 : 6379
  const nodes = hosts.split(',').map((text) => hostPort(text, port))
  if (kind === 'standalone' && nodes.length > 1)
    throw invalid('names several servers: use redis+cluster:// or redis+sentinel://')
  const parts = path === '' ? [] : path.split('/').map(decode)
  const master = kind === 'sentinel' ? (parts.shift() ?? '') : ''
  if (kind === 'sentinel' && master === '') throw invalid('must name the master: redis+sentinel://host/name')
  const [db = '0', ...rest] = parts
  if (rest.length > 0 || !/^\d{1,5}$/.test(db)) throw invalid('must end with the number of a database')
  if (kind === 'cluster' && db !== '0') throw invalid('must not name a database: a Cluster has only 0')
  const [username, password] = login === undefined ? [] : credentials(login)
  return { ...found, nodes, master, db: Number(db), username, password }
}

/** `user:password`, `:password`, or `password` alone. */
function credentials(login: string): [string | undefined, string | undefined] {
  const colon = login.indexOf(':')
  const [user, password] = colon < 0 ? ['', login] : [login.slice(0, colon), login.slice(colon + 1)]
  return [decode(user) || undefined, decode(password) || undefined]
}

function hostPort(text: string, standard: number): HostPort {
  const [, host = '', port = ''] = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? []
  if (host === '' || Number(port) > 65535) throw invalid('must have hosts of the form name or name:port')
  return { host: host.replace(/^\[|\]$/g, ''), port: port === '' ? standard : Number(port) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('has a percent sign that encodes nothing')
  }
}

function invalid(what: string): SpillwayError {
  return new SpillwayError('CONFIG_INVALID', `REDIS_URL ${what}`)
}
