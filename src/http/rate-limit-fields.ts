import { SpillwayError } from '../errors.js'
import type { LimitVerdict, Verdict } from '../limits/verdict.js'

/**
 * The header fields in which a verdict tells a client how to behave; `Retry-After` where it was denied.
 * Source: draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 section 10.2.3.
 */
export function rateLimitFields({ limits, allowed, retryAfterMs }: Verdict): Record<string, string> {
  return {
    'ratelimit-policy': limits.map(policyOf).join(', '),
    ratelimit: limits.map(stateOf).join(', '),
    ...(allowed ? {} : { 'retry-after': String(Math.max(1, seconds(retryAfterMs))) }),
  }
}

function policyOf({ name, algorithm, max, perMs }: LimitVerdict): string {
  if (algorithm === 'concurrency') return `${quoted(name)};q=${max};qu="concurrent-requests"`
  return `${quoted(name)};q=${max};w=${Math.max(1, seconds(perMs))}`
}

function stateOf({ name, remaining, retryAfterMs, resetMs }: LimitVerdict): string {
  return `${quoted(name)};r=${remaining};t=${seconds(retryAfterMs || resetMs)}`
}

/** A string of structured fields: printable ASCII; the rest is percent-encoded. Source: RFC 9651 section 3.3.3. */
function quoted(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]+|%/gu, (text) => encodeURIComponent(text))
  return `"${plain.replace(/["\\]/g, '\\$&')}"`
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}

/** A denial as an error, for answers that are problems. */
export function rateLimited({ limits, retryAfterMs }: Verdict): SpillwayError {
  const refused = limits.filter(({ allowed }) => !allowed).map(({ name }) => `"${name}"`)
  return new SpillwayError('RATE_LIMITED', `Used up: ${refused.join(', ')}`, { retryAfterMs })
}
