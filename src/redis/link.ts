import type { Redis } from 'ioredis'

/** A reply as RESP2 gives it. */
export type Reply = string | number | null | readonly Reply[]

/** Who answers: the run id of the server; on a Cluster those of its masters, sorted, joined by commas. */
export type Identity = string

export interface LinkEvents {
  /**
   * Asked with the identity at every (re)connect, before anything else is sent; `refuse` keeps the connection
   * unused and it is made anew after a pause. Must not throw.
   */
  readonly onConnect: (identity: Identity) => 'use' | 'refuse'
  /** Told when commands can be sent, and when they no longer can. */
  readonly onUsable: (usable: boolean) => void
}

/** The command connection to whatever serves: one server or a Cluster. Errors are the driver's. */
export interface Link {
  readonly kind: 'standalone' | 'cluster'
  readonly usable: boolean
  /** As of the last connect that was asked about. */
  readonly identity: Identity | undefined
  /** What the last attempt to connect failed with. */
  readonly problem: unknown
  /** The policy by which a server drops keys when memory is short, as of the last connect; '' if none does. */
  readonly evicts: string
  /** Messages of sharded pub/sub stay on the server that owns the channel's slot. */
  readonly sharded: boolean
  send(command: string, args: readonly (string | number)[]): Promise<Reply>
  masters(): readonly Redis[]
  /** Where a channel is heard, as a name; undefined while that is not known. */
  placeOf(channel: string): string | undefined
  /** A connection for subscriptions at a place, not yet begun. */
  ear(place: string): Redis
  /** Called whenever places may have changed, until the returned function is called. */
  onMoved(moved: () => void): () => void
  /** Makes the connections anew, so that `onConnect` is asked anew. */
  reconnect(): void
  close(): void
}
