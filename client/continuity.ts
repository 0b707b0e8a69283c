import type { FlowEvent, Gap } from './messages.js'

interface Place {
  readonly term: number
  readonly seq: number
}

/** Reads `term-seq`, or `0` for the beginning. */
function parseId(text: string): Place | undefined {
  if (text === '0') return { term: 0, seq: 0 }
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(text)
  return match ? { term: Number(match[1]), seq: Number(match[2]) } : undefined
}

/**
 * A flow does not begin with 1 on a server with Redis alone, nor where a fast flow of its reign was forgotten before, but
 * beyond a million: where that is, is the server's word.
 */
function beginsFarOn({ seq }: Place): boolean {
  return seq > 1_000_000
}

/** What to tell the reader about an event that arrived. */
export interface Verdict {
  readonly duplicate: boolean
  /** A hole before the event that nobody has told of. */
  readonly gap: Gap | undefined
}

/**
 * Watches that each flow's events arrive once and without holes: `seq` counts on by one over all terms. It
 * trusts nobody: a hole that the server does not announce is reported as a gap of reason `unknown`.
 */
export class Continuity {
  /** The last event or announced gap of each flow; absent: the next event is taken as it comes. */
  readonly #places = new Map<string, Place>()
  readonly #lastGap = new Map<string, string>()

  /** The reader stands at this cursor of the flow. Only the first word counts: later ones must be earned by events. */
  start(flow: string, cursor: string): void {
    const place = parseId(cursor)
    if (place && !this.#places.has(flow)) this.#places.set(flow, place)
  }

  event(event: FlowEvent): Verdict {
    const { flow } = event
    const place = parseId(event.id)
    if (!place) return { duplicate: false, gap: undefined }
    const last = this.#places.get(flow)
    // An older term, or a seq of the same term that was passed: what a resumption repeated.
    if (last && (place.term < last.term || (place.term === last.term && place.seq <= last.seq))) {
      return { duplicate: true, gap: undefined }
    }
    this.#places.set(flow, place)
    this.#lastGap.delete(flow)
    if (!last || place.seq === last.seq + 1 || (last.seq === 0 && beginsFarOn(place)))
      return { duplicate: false, gap: undefined }
    // A newer term that takes numbers again means that the old term's events from there on are no more.
    const gap: Gap =
      place.seq <= last.seq
        ? { flow, from: `${last.term}-${place.seq}`, to: `${last.term}-${last.seq}`, reason: 'lost' }
        : {
            flow,
            from: `${place.term}-${last.seq + 1}`,
            to: `${place.term}-${place.seq - 1}`,
            reason: 'unknown',
          }
    return { duplicate: false, gap }
  }

  /** Takes a gap that the server announced; returns false if the reader has been told of it. `cursor`: after it, if known. */
  gap(gap: Gap, cursor: string | undefined): boolean {
    const text = `${gap.from} ${gap.to} ${gap.reason}`
    if (this.#lastGap.get(gap.flow) === text) return false
    this.#lastGap.set(gap.flow, text)
    const place =
      (cursor === undefined ? undefined : parseId(cursor)) ??
      (gap.reason === 'trimmed' ? parseId(gap.to) : undefined)
    if (place) this.#places.set(gap.flow, place)
    else this.#places.delete(gap.flow)
    return true
  }
}
