import type { Off } from './guards.js'

export interface StoredLease {
  readonly fence: number
  /** By the store's clock. */
  readonly until: number
}

/** A lease on its way from one store to another: what is left of it, because clocks differ. */
export interface MovedLease {
  readonly name: string
  readonly fence: number
  readonly leftMs: number
}

/** What a store holds of record. */
export interface Stored {
  readonly leases: Map<string, StoredLease>
  /** Fences given. */
  grants: number
  /** Taken of the one limit that there is. */
  taken: number
  /** The last term under which something was carried out here. */
  newest: number
}

export const nothing = (): Stored => ({ leases: new Map(), grants: 0, taken: 0, newest: 0 })
export const copyOf = <T extends Stored>(stored: T): T => ({ ...stored, leases: new Map(stored.leases) })

/** Takes in a lease from elsewhere: never sooner than what is known of it here, never in the place of a higher fence. */
export function takeIn(stored: Stored, now: number, { name, fence, leftMs }: MovedLease, off: Off): void {
  const known = stored.leases.get(name)
  const until = now + leftMs
  if (known?.fence === fence) stored.leases.set(name, { fence, until: Math.max(known.until, until) })
  else if (!known || known.fence < fence || off.has('a lower fence replaces no higher one'))
    stored.leases.set(name, { fence, until })
}

/** Takes in what is known elsewhere of the limit: by the greater value, since each may know more. */
export function takeInCount(stored: Stored, taken: number): void {
  stored.taken = Math.max(stored.taken, taken)
}
