import type { FlowRef } from '../tenant.js'
import type { Cursor } from './cursor.js'
import type { FlowEvent } from './event.js'

/** A group of processors of one flow. */
export interface GroupRef extends FlowRef {
  readonly group: string
}

/** One processor's timed right to go on for its group. */
export interface Claim {
  /** The group is done with everything up to here. */
  readonly place: Cursor
  /** Failed runs of the next event. */
  readonly attempts: number
}

/** What became of an event. */
export type Settlement =
  | { readonly done: Cursor }
  | { readonly failed: Cursor }
  | { readonly dead: Cursor; readonly event: FlowEvent; readonly attempts: number; readonly error: string }

/** An event that a group has given up on. */
export interface DeadEvent {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly payload: unknown
  /** ISO 8601 in UTC. */
  readonly timestamp: string
  readonly attempts: number
  readonly error: string
  readonly died_at: string
}

/** Dead events kept of a group: the newest. */
export const DEAD_KEPT = 1000

/**
 * How far groups of processors have come, wherever the flow's events are. One processor of a group is at work at a
 * time, so a group sees the events in their order. Errors: `STORE_UNAVAILABLE` (temporary).
 */
export interface Groups {
  /** Takes the group's work for so long; a new group begins at `start`. undefined while somebody else has it. */
  claim(ref: GroupRef, owner: string, leaseMs: number, start: Cursor): Promise<Claim | undefined>
  /** Notes what became of an event and keeps the claim for so long; false if the claim is lost. */
  settle(ref: GroupRef, owner: string, leaseMs: number, outcome: Settlement): Promise<boolean>
  /** Keeps the claim for so long; false if it is lost. */
  renew(ref: GroupRef, owner: string, leaseMs: number): Promise<boolean>
  /** Lets another one go on at once. */
  release(ref: GroupRef, owner: string): Promise<void>
  /** Order: oldest first. */
  dead(ref: GroupRef, limit: number): Promise<DeadEvent[]>
}

/** Where the group is with this outcome. */
export function placeOf(outcome: Settlement): Cursor {
  return 'done' in outcome ? outcome.done : 'dead' in outcome ? outcome.dead : outcome.failed
}
