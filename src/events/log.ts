import type { SpillwayError } from '../errors.js'
import type { FlowRef } from '../tenant.js'

export const DURABILITIES = ['durable', 'fast'] as const

/** `durable`: acknowledged by PostgreSQL. `fast`: acknowledged by the store that reigns. */
export type Durability = (typeof DURABILITIES)[number]

/** An event as a log keeps it. `payload` is JSON text, written and served byte for byte. */
export interface StoredEvent {
  readonly term: number
  /** 1, 2, 3 … within the flow; without holes, but for a fast flow where its store changed. */
  readonly seq: number
  readonly type: string
  readonly source: string
  readonly payload: string
  /** Milliseconds since the epoch, on the store's clock. */
  readonly at: number
}

/** An event that asks to be numbered. */
export interface Draft extends FlowRef {
  readonly type: string
  readonly source: string
  /** JSON text. */
  readonly payload: string
  /** Given by the caller: the same key in the same flow answers the first event. */
  readonly key: string | null
  /** What the caller asked for; `null` takes the flow's own, `durable` for a new flow. */
  readonly durability: Durability | null
}

/** Names one append, so that its repeat is known. */
export interface Batch {
  /** A UUID, random in its first 13 characters. */
  readonly token: string
  /** True if this token was sent before and its answer never came. */
  readonly repeat: boolean
}

/** What became of one draft. A refusal of one draft never touches the others. */
export type Outcome =
  | { readonly event: StoredEvent; readonly repeated: boolean; readonly durability: Durability }
  | { readonly error: SpillwayError }

/** Where a flow's log stands. A flow that was never written has `head` 0. */
export interface Position {
  /** Term of the newest event. */
  readonly term: number
  /** First seq of that term: what an older term numbered from here on is lost. */
  readonly termFrom: number
  /** Seq of the newest event. */
  readonly head: number
  /** Seq of the newest trimmed event; the oldest kept one is `floor + 1`. */
  readonly floor: number
  /** Of a fast flow: seq up to which what is not there any more was lost, and not trimmed. */
  readonly lost?: number
  /** Of a fast flow: the reign in which its store was read, and whether it surely reigned then. */
  readonly reign?: { readonly number: number; readonly certain: boolean }
  /** Where a fast flow does not begin with 1: the place before the flow's first event, and the term in which it was given. */
  readonly origin?: { readonly term: number; readonly seq: number }
}

/** A stretch of a flow's log, by seq; both ends are outside it. */
export interface Range {
  /** Only events with a greater seq. */
  readonly after?: number
  /** Only events with a smaller seq. */
  readonly before?: number
  readonly order: 'asc' | 'desc'
  /** Events at most. */
  readonly limit: number
}

/** A stretch of a log, and where the log stood at that moment. */
export interface Page {
  readonly position: Position
  /** `null` for a flow that was never written. */
  readonly durability: Durability | null
  /** Fewer than asked for if they are the last, or if they are large. */
  readonly events: readonly StoredEvent[]
}

/** One flow's part in a look at many: what came after `after`. */
export interface Since extends FlowRef {
  readonly after: number
}

export interface Retention {
  /** Events kept in a flow at most. */
  readonly maxEvents: number
  /** Age in ms beyond which an event is trimmed. */
  readonly maxAgeMs: number
  /** Time in ms without an event after which a flow that has none left is forgotten. */
  readonly flowAgeMs: number
}

/** Reads the logs of flows. */
export interface LogReader {
  /** Events of one flow within `range`, with the flow's position at the same moment. */
  read(ref: FlowRef, range: Range): Promise<Page>
  /**
   * For each flow, what came after its seq, at most `limit` a flow: one round trip for all of them, or for each
   * store. The flows of a store share a bound in bytes, and each gets at least its first event. undefined for a flow
   * whose store is away, while another's answers.
   */
  readSince(flows: readonly Since[], limit: number): Promise<readonly (Page | undefined)[]>
}

/**
 * Recent events, kept where they are quicker to get than from the log of record. It never knows whether it has the
 * newest.
 */
export interface Recent {
  /** What follows on a place without a hole, oldest first; undefined if that cannot be said from here. */
  after(
    ref: FlowRef,
    place: { readonly term: number; readonly seq: number },
    limit: number,
  ): Promise<StoredEvent[] | undefined>
  /**
   * Events of a range without a hole, from its first one on, as far as they are here; undefined if that one is not.
   * `term` is that of the range's `after`.
   */
  stretch(ref: FlowRef, range: Range, term: number): Promise<StoredEvent[] | undefined>
}

/** What a trim has left. */
export interface Trimmed {
  /** Seq of the newest trimmed event. */
  readonly floor: number
  /** How many events went. */
  readonly events: number
  /** Whether the flow still has more events than the retention allows. */
  readonly more: boolean
}

/**
 * The log of record of every flow.
 *
 * Order: the events of one flow are numbered 1, 2, 3 … in commit order, without holes, whoever writes.
 * An acknowledged append is never lost or numbered twice.
 * Errors: `STORE_UNAVAILABLE` (temporary) from every method.
 */
export interface EventLog extends LogReader {
  /**
   * Numbers and stores the drafts, atomically: one outcome a draft, in the drafts' order.
   * A repeat of a batch (after a lost answer, with the same drafts) answers what the first one stored.
   * Errors: `FLOW_BUSY` (nothing stored) if another transaction holds one of the flows.
   */
  append(drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]>
  /** As of a reader; whole or not at all. */
  readSince(flows: readonly Since[], limit: number): Promise<readonly Page[]>
}

/** A log whose retention is work of its own. */
export interface RetainedLog extends EventLog {
  /**
   * Trims each flow to its retention, as far as one statement reaches; what it answers is in the order of `refs`.
   * Never waits: a flow that somebody is trimming already is `undefined`.
   */
  trim(refs: readonly FlowRef[], retention: Retention): Promise<readonly (Trimmed | undefined)[]>
  /**
   * Forgets flows without events that have been silent for long, at most `flows` of them; returns how many. Who
   * has a cursor of one is told `lost` if it comes to be again.
   */
  forget(retention: Retention, flows: number): Promise<number>
  /**
   * Trims flows whose oldest event is older than the retention, oldest first, at most `flows` of them, as far as one
   * statement reaches; returns how many events went.
   */
  trimOldest(retention: Retention, flows: number): Promise<number>
}
