import { SpillwayError } from '../errors.js'
import type { Position } from './log.js'

/** A place in a flow's log: after event `seq` of `term`; seq 0 is the beginning. */
export interface Cursor {
  readonly term: number
  readonly seq: number
}

export type GapReason = 'trimmed' | 'lost' | 'turn' | 'unknown'

/** A stretch of a flow that a reader asked for and cannot have. `from` and `to` are event ids, both inside. */
export interface Gap {
  readonly flow: string
  readonly from: string
  readonly to: string
  readonly reason: GapReason
}

const CURSOR = /^(?:0|(0|[1-9]\d{0,8})-(0|[1-9]\d{0,14}))$/

/** The text of an event's id and of the cursor after it. */
export function formatId(term: number, seq: number): string {
  return `${term}-${seq}`
}

/** Reads `term-seq`, or `0` for the beginning. Returns undefined for anything else. */
export function parseCursor(text: string): Cursor | undefined {
  const match = CURSOR.exec(text)
  if (!match) return undefined
  return { term: Number(match[1] ?? 0), seq: Number(match[2] ?? 0) }
}

/** As `parseCursor`, for callers that asked for a place. Errors: `INVALID_CURSOR`. */
export function requireCursor(text: string): Cursor {
  const cursor = parseCursor(text)
  if (!cursor)
    throw new SpillwayError(
      'INVALID_CURSOR',
      `"${text.slice(0, 64)}" is not a cursor: expected "term-seq", or "0"`,
    )
  return cursor
}

/** Where a reader with this cursor goes on, and what it has missed for good. */
export interface Resumption {
  /** Of the reader's cursor from here on. */
  readonly term: number
  /** The reader has everything up to this seq, or has been told of the gap. */
  readonly after: number
  readonly gap: Omit<Gap, 'flow'> | undefined
}

/**
 * Places a cursor in a log. Total: every cursor has an answer, so that no reader waits for an event that
 * never comes. A cursor beyond the log's end names events that this log does not have: `lost` if a newer term
 * took their numbers, `unknown` otherwise. In a fast flow that is no loss while the reigning store has numbered
 * nothing itself: what it was never told of stays the reader's, and its first number leaps over it.
 */
export function resume(position: Position, presented: Cursor): Resumption {
  const { term, termFrom, head, floor, lost = 0, origin } = position
  // Who stood at the beginning when the flow began has missed nothing before its first number. Who stood there in an
  // earlier term may have: the flow can have lived before, and have been lost.
  const born = origin && presented.seq === 0 && (presented.term === 0 || presented.term >= origin.term)
  const cursor = born ? origin : presented
  if (cursor.seq > 0 && cursor.term < term && cursor.seq >= termFrom) {
    // The old term's tail from termFrom on was replaced: its reader has seen events that are no more. What was
    // trimmed of the new term meanwhile is the next answer's gap.
    return {
      term,
      after: termFrom - 1,
      gap: { from: formatId(cursor.term, termFrom), to: formatId(cursor.term, cursor.seq), reason: 'lost' },
    }
  }
  if (isAhead(position, cursor)) return { term: cursor.term, after: cursor.seq, gap: undefined }
  // In which term it was seen to be empty is what it has to say when it begins.
  if (position.reign && head === 0 && cursor.seq === 0 && cursor.term > 0)
    return { term: cursor.term, after: 0, gap: undefined }
  const reign = position.reign?.number ?? 0
  if (cursor.seq > 0 && cursor.term > Math.max(term, reign)) {
    // Of another history (an older backup was restored): what the reader has is void, it starts anew.
    return {
      term,
      after: floor,
      gap: { from: formatId(cursor.term, 1), to: formatId(cursor.term, cursor.seq), reason: 'unknown' },
    }
  }
  if (cursor.seq > head) {
    return {
      term,
      after: head,
      gap: {
        from: formatId(cursor.term, head + 1),
        to: formatId(cursor.term, cursor.seq),
        reason: 'unknown',
      },
    }
  }
  if (cursor.seq < floor) {
    return {
      term,
      after: floor,
      gap: {
        from: formatId(term, cursor.seq + 1),
        to: formatId(term, floor),
        reason: floor > lost ? 'trimmed' : 'lost',
      },
    }
  }
  // Never back: another store may have given the same numbers in the cursor's term.
  return { term: cursor.seq > 0 ? Math.max(term, cursor.term) : term, after: cursor.seq, gap: undefined }
}

/** Whether the reader of a fast flow has more than the store that was read, and rightly so. */
function isAhead({ term, termFrom, head, reign }: Position, cursor: Cursor): boolean {
  if (!reign || cursor.seq === 0) return false
  // This instance has not heard of that reign yet: what it reads is of an older one.
  if (cursor.term > reign.number) return !reign.certain
  // While a reign ends, the server that answers may be the next one's, and have less than the reader's.
  return cursor.seq > head && (!reign.certain || term < reign.number || termFrom > head + 1)
}
