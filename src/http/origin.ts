import { isIP } from 'node:net'
import type { Config } from '../config.js'
import { SpillwayError } from '../errors.js'

/** True for addresses and names that never leave this machine. */
export function isLoopback(host: string): boolean {
  const name = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
  if (name === 'localhost' || name.endsWith('.localhost')) return true
  if (isIP(name) === 4) return name.startsWith('127.')
  return (
    isIP(name) === 6 && (name === '::1' || /^::ffff:127\./.test(name) || /^(0{1,4}:){7}0{0,3}1$/.test(name))
  )
}

/** Errors: `CONFIG_INVALID` if a server without authentication would be reached from elsewhere. */
export function refuseOpenServer({ auth, host }: Config): void {
  if (auth === 'none' && !isLoopback(host)) {
    throw new SpillwayError(
      'CONFIG_INVALID',
      `SPILLWAY_AUTH=none serves loopback addresses only, not ${host}: set SPILLWAY_AUTH to keys or jwt, or SPILLWAY_HOST to 127.0.0.1`,
    )
  }
}

export interface OriginRules {
  readonly allowedHosts: readonly string[]
  readonly corsOrigins: readonly string[]
}

interface Heads {
  readonly host?: string | undefined
  readonly origin?: string | undefined
}

/**
 * Refuses what a page of another site could send to a server without authentication on this machine. DNS
 * rebinding makes such a page's own name lead here: then the Host header still has that name.
 * Errors: `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED`.
 */
export function checkOrigin({ host, origin }: Heads, rules: OriginRules): void {
  const name = hostName(host)
  if (
    name === undefined ||
    !(isLoopback(name) || rules.allowedHosts.some((allowed) => allowed.toLowerCase() === name))
  ) {
    throw new SpillwayError(
      'HOST_NOT_ALLOWED',
      `The Host "${(host ?? '').slice(0, 64)}" is not a loopback name: set SPILLWAY_ALLOWED_HOSTS, or SPILLWAY_AUTH`,
    )
  }
  if (origin === undefined || rules.corsOrigins.includes(origin)) return
  const from = URL.canParse(origin) ? new URL(origin) : undefined
  const same = from?.host === host?.toLowerCase()
  if (!from || !/^https?:$/.test(from.protocol) || !(same || isLoopback(from.hostname))) {
    throw new SpillwayError(
      'ORIGIN_NOT_ALLOWED',
      `Pages of "${origin.slice(0, 128)}" may not call this server: set SPILLWAY_CORS_ORIGINS`,
    )
  }
}

/** The name in a Host header, without its port; undefined if it is no such header. */
function hostName(host: string | undefined): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^\s:/@?#[\]]+)(?::\d{1,5})?$/i.exec(host ?? '')
  return match?.[1]?.toLowerCase()
}
