import { createHash } from 'node:crypto'
import type { Identity } from '../redis/client.js'

/**
 * Seconds since the epoch from which the terms of a Redis alone are counted (2025): a term has nine digits, which
 * last until 2056.
 */
export const TERMS_SINCE_S = 1_735_689_600

/** What a marker says where Redis is the only store. */
export interface Marker {
  readonly text: string
  readonly number: number
  /** Stands for the server, or the servers of a Cluster, on which the term was begun. */
  readonly mark: string
  /** Milliseconds since the epoch, on the store's clock. */
  readonly begunMs: number
}

const MARKER = /^(\d{1,9}):open:([0-9a-f]{16})\.(\d{16})\.[0-9a-f]+$/

/** Undefined for a marker of another kind, or of none. */
export function parseMarker(text: string | null): Marker | undefined {
  const [, number, mark, begun] = MARKER.exec(text ?? '') ?? []
  if (text === null || mark === undefined) return undefined
  return { text, number: Number(number), mark, begunMs: Number(begun) / 1000 }
}

/** The number of any marker, also one of a fleet with PostgreSQL; 0 if there is none. */
export function numberIn(text: string | null): number {
  return Number(/^(\d{1,9}):/.exec(text ?? '')?.[1] ?? 0)
}

/** A Cluster's identity has the length of its masters. */
export function markOf(identity: Identity): string {
  return createHash('sha256').update(identity).digest('hex').slice(0, 16)
}
