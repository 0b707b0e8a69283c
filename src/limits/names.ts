import { createHash } from 'node:crypto'
import { key, tenantGlob, whatIs } from '../redis/keys.js'
import { hasEntries } from './counters.js'
import { ALGORITHMS, type Algorithm } from './limits.js'

/** The key of a limit: a pattern of the guide where its name says so. */
export function keyOf(tenant: string, name: string, algorithm: Algorithm): string {
  if (algorithm === 'fixed') {
    if (name.startsWith('user:')) return key('rate_limit', { tenant, user: name.slice(5) })
    if (name.startsWith('global:')) return key('rate_limit:global', { tenant, endpoint: name.slice(7) })
    if (name === 'tenant') return key('rate_limit:tenant', { tenant })
  }
  if (algorithm === 'sliding-log' && name.startsWith('user:')) {
    return key('rate_limit:sliding', { tenant, user: name.slice(5) })
  }
  return key(hasEntries(algorithm) ? 'rate_limit:entries' : 'rate_limit:named', { tenant, name, algorithm })
}

/** A limit as its key says it. */
export interface Named {
  readonly tenant: string
  readonly name: string
  readonly algorithm: Algorithm
}

/** Reads a key back; undefined for one that is not of a limit. */
export function limitOf(text: string): Named | undefined {
  const known = whatIs(text)
  const { tenant = '', user = '', endpoint = '', name = '', algorithm = '' } = known?.parts ?? {}
  switch (known?.name) {
    case 'rate_limit':
      return { tenant, name: `user:${user}`, algorithm: 'fixed' }
    case 'rate_limit:global':
      return { tenant, name: `global:${endpoint}`, algorithm: 'fixed' }
    case 'rate_limit:tenant':
      return { tenant, name: 'tenant', algorithm: 'fixed' }
    case 'rate_limit:sliding':
      return { tenant, name: `user:${user}`, algorithm: 'sliding-log' }
    case 'rate_limit:named':
    case 'rate_limit:entries':
      return isAlgorithm(algorithm) ? { tenant, name, algorithm } : undefined
    default:
      return undefined
  }
}

const PLAIN = /^[\w.:@-]{1,128}$/

/** A name for what may be anything and of any length: others never have the same. */
export function nameFor(prefix: string, text: string): string {
  return PLAIN.test(text)
    ? `${prefix}${text}`
    : `${prefix}#${createHash('sha256').update(text).digest('base64url')}`
}

/** A glob for SCAN that matches all limits of a tenant, and perhaps some of others. */
export function limitsGlob(tenant: string): string {
  const exact = tenantGlob('rate_limit:tenant', tenant) ?? ''
  return `rate_limit*${exact.slice('rate_limit:tenant'.length)}*`
}

function isAlgorithm(text: string): text is Algorithm {
  return ALGORITHMS.some((known) => known === text)
}
