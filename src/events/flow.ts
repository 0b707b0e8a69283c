import { abortable, aborted, SpillwayError } from '../errors.js'
import type { FlowMeta, FlowState, FlowStates } from '../state/states.js'
import { checkName, type FlowRef } from '../tenant.js'
import { type Cursor, type Gap, requireCursor, resume } from './cursor.js'
import { type Item, itemEvent, itemsAfter } from './delivery.js'
import { type FlowEvent, type PublishedEvent, toFlowEvent } from './event.js'
import type { DeadEvent, Groups } from './groups.js'
import { type Asked, type HistoryPage, orRecent, recentPage } from './history.js'
import type { Intake } from './lanes.js'
import type { Live } from './live.js'
import type { Durability, LogReader, Outcome, Page } from './log.js'
import { type Handler, type ProcessOptions, Processor, type Source } from './processor.js'
import { type NewEvent, type PublishLimits, toDrafts } from './publishing.js'
import { EventStream } from './stream.js'

/** What a flow is made of; one set for all flows of a process. */
export interface FlowParts {
  readonly log: LogReader
  readonly appender: Intake
  readonly live: Live
  readonly states: FlowStates
  readonly groups: Groups
  readonly limits: PublishLimits
}

export interface FlowOptions {
  /** Fixed by the flow's first publish; naming another later is refused. Default `durable`. */
  readonly durability?: Durability | undefined
}

export interface PublishOptions {
  /** Who says it; default `system`. */
  readonly source?: string | undefined
  /** Makes a repeat harmless: the same key in the same flow answers the first event. */
  readonly key?: string | undefined
  /** Stops the waiting, not the publish: an event that is under way may be stored. */
  readonly signal?: AbortSignal | undefined
}

export interface HistoryOptions {
  /** Only events after this cursor; `0` is the beginning. */
  readonly after?: string | undefined
  /** Only events before this cursor. */
  readonly before?: string | undefined
  /** The newest so many, oldest first. */
  readonly last?: number | undefined
  /** Events at most, 1 to 1000; default 100. */
  readonly limit?: number | undefined
  /** Default `asc`, oldest first. */
  readonly order?: 'asc' | 'desc' | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SubscribeOptions {
  /** Start behind this cursor; `0`: at the beginning. Without it: what happens from now on. */
  readonly after?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const MAX_LIMIT = 1000

/** An event that was appended. */
export type Stored = Extract<Outcome, { readonly event: unknown }>

/** One long-running piece of work of a tenant: its log, its live events, its state. */
export class Flow {
  readonly tenant: string
  readonly name: string
  readonly #ref: FlowRef
  readonly #durability: Durability | null
  readonly #parts: FlowParts

  constructor(ref: FlowRef, durability: Durability | null, parts: FlowParts) {
    this.tenant = ref.tenant
    this.name = ref.flow
    this.#ref = ref
    this.#durability = durability
    this.#parts = parts
  }

  /**
   * Publishes an event; answers when it is stored.
   * Errors: `INVALID_NAME`, `RESERVED_TYPE`, `INVALID_JSON`, `PAYLOAD_TOO_LARGE`, `DURABILITY_FIXED`;
   * temporary: `STORE_UNAVAILABLE`, `OVERLOADED`, `FLOW_BUSY`.
   */
  async publish<P = unknown>(
    type: string,
    payload?: P,
    options: PublishOptions = {},
  ): Promise<PublishedEvent<P>> {
    const { source, key } = options
    const [stored] = await this.append([{ type, payload, source, key }], options)
    return this.#published(stored as Stored, payload)
  }

  /** Publishes events next to each other, all or none. Errors: as `publish`, and `BATCH_TOO_LARGE`. */
  async publishMany<P = unknown>(
    events: readonly NewEvent<P>[],
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<PublishedEvent<P>[]> {
    const stored = await this.append(events, options)
    return stored.map((one, i) => this.#published(one, events[i]?.payload))
  }

  #published<P>({ event, repeated, durability }: Stored, given: P | undefined): PublishedEvent<P> {
    // What was given is what was stored, unless its key had been used before.
    const read = toFlowEvent(this.name, event, repeated ? undefined : given)
    return { ...read, durability } as PublishedEvent<P>
  }

  /** As `publishMany`, answered as it is stored, for those who serve it on. */
  async append(
    events: readonly NewEvent[],
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Stored[]> {
    const drafts = toDrafts(this.#ref, this.#durability, events, this.#parts.limits)
    if (signal?.aborted) throw aborted(signal)
    const outcomes = await abortable(this.#parts.appender.append(drafts), signal)
    return outcomes.map((outcome) => {
      if ('error' in outcome) throw outcome.error
      return outcome
    })
  }

  /**
   * Reads past events, oldest first unless `order` says otherwise. While PostgreSQL is away only what the hot tail has
   * whole. Errors: `INVALID_CURSOR`, `INVALID_ARGUMENT`; temporary: `STORE_UNAVAILABLE`.
   */
  async history(options: HistoryOptions = {}): Promise<FlowEvent[]> {
    const { last, signal } = options
    const asked = last === undefined ? options : { ...options, limit: last, order: 'desc' as const }
    const page = await abortable(this.#readPage(asked, { whole: true }), signal)
    const events = page.events.map((event) => toFlowEvent(this.name, event))
    if (last !== undefined) return events.reverse()
    return [...page.gaps.map((gap) => itemEvent(this.name, gap)), ...events]
  }

  /**
   * A page of the log as it is stored, for those who serve it on. A cursor (not `0`) behind which events are
   * missing gets the gaps with it. While PostgreSQL is away: what the hot tail has of it, with `more` unless that is
   * surely all. Errors: as `history`.
   */
  async readPage(options: HistoryOptions): Promise<HistoryPage> {
    return this.#readPage(options, { whole: false })
  }

  async #readPage(
    { limit = 100, order = 'asc', ...ends }: HistoryOptions,
    { whole }: { readonly whole: boolean },
  ): Promise<HistoryPage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      throw new SpillwayError('INVALID_ARGUMENT', `limit must be a whole number from 1 to ${MAX_LIMIT}`)
    }
    if (order !== 'asc' && order !== 'desc')
      throw new SpillwayError('INVALID_ARGUMENT', 'order must be asc or desc')
    const after = requireCursor(ends.after ?? '0')
    const before = ends.before === undefined ? Number.MAX_SAFE_INTEGER : requireCursor(ends.before).seq
    const asked = { order, limit, after, before }
    return orRecent(this.#readLog(asked), async () => {
      const page = await recentPage(this.#parts.live.recent, this.#ref, asked)
      return whole && page?.more && page.events.length < limit ? undefined : page
    })
  }

  async #readLog({ order, limit, after, before }: Asked): Promise<HistoryPage> {
    const gaps: Extract<Item, { readonly gap: Gap }>[] = []
    for (let cursor = after; ; ) {
      const page = await this.#parts.log.read(this.#ref, { order, limit, after: cursor.seq, before })
      const placed = resume(page.position, cursor)
      if (!placed.gap || after.seq === 0) {
        const more = hasMore(page, order, cursor.seq, before)
        if (order === 'desc') return { ...page, more, gaps }
        return this.#upToHole(page, cursor, { more, gaps })
      }
      // Placed anew: behind what the old term lost, the new term's first events may be trimmed already.
      cursor = { term: placed.term, seq: placed.after }
      gaps.push({ gap: { flow: this.name, ...placed.gap }, cursor })
    }
  }

  /** A page ends before numbers that its log does not have; the next one begins by naming them. */
  #upToHole(page: Page, cursor: Cursor, rest: Pick<HistoryPage, 'more' | 'gaps'>): HistoryPage {
    const items = itemsAfter(this.name, cursor, page.events)
    const [first] = items
    const gaps = first?.gap && cursor.seq > 0 ? [...rest.gaps, first] : rest.gaps
    const hole = items.findIndex((item, i) => i > 0 && item.gap)
    if (hole < 0) return { ...page, more: rest.more, gaps }
    const events = page.events.filter(({ seq }) => seq <= (items[hole - 1] as Item).cursor.seq)
    return { ...page, events, more: true, gaps }
  }

  /**
   * Events after the cursor, then live ones: each once, in order, until the signal fires. Events that are no more
   * are named by one of type `gap` whose payload is a `Gap`. Subscribes at once, not at the first `next()`.
   * Errors: `INVALID_CURSOR`, `CLOSED`.
   */
  subscribe(options: SubscribeOptions = {}): AsyncIterableIterator<FlowEvent, undefined> {
    const { after, signal } = options
    const start = after === undefined ? 'now' : requireCursor(after)
    return new EventStream(this.#parts.live.feed(this.#ref), start, signal)
  }

  /**
   * Handles the flow's events for a group, one after the other, at least once each, until the signal fires. Of all
   * processors of a group one is at work at a time; another goes on where it was when it ends or is not heard of.
   * An event that keeps failing goes to the group's dead ones. Errors: `INVALID_NAME`, `INVALID_ARGUMENT`.
   */
  async process(group: string, handler: Handler, options: ProcessOptions = {}): Promise<void> {
    const ref = { ...this.#ref, group: checkName('group', group) }
    const source: Source = {
      head: async () => {
        const { position } = await this.#parts.log.read(this.#ref, { order: 'desc', limit: 1 })
        return { term: position.term, seq: position.head }
      },
      subscribe: (after, signal) => this.subscribe({ after, signal }),
    }
    await new Processor(this.#parts.groups, ref, source, handler, options).run()
  }

  /** Events that a group has given up on, oldest first. Errors: `INVALID_NAME`, `INVALID_ARGUMENT`. */
  async dead(group: string, { limit = 100 }: { readonly limit?: number } = {}): Promise<DeadEvent[]> {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
      throw new SpillwayError('INVALID_ARGUMENT', `limit must be a whole number from 1 to ${MAX_LIMIT}`)
    return this.#parts.groups.dead({ ...this.#ref, group: checkName('group', group) }, limit)
  }

  /** Replaces the flow's state. Errors: `INVALID_ARGUMENT`, `PAYLOAD_TOO_LARGE`. */
  async setState(state: FlowState, options: { readonly signal?: AbortSignal } = {}): Promise<FlowMeta> {
    return abortable(this.#parts.states.set(this.#ref, state), options.signal)
  }

  /** The flow's state; `null` if none was set. */
  async state(options: { readonly signal?: AbortSignal } = {}): Promise<FlowState | null> {
    return abortable(this.#parts.states.get(this.#ref), options.signal)
  }

  /** Removes the flow's state; its events stay. */
  async clearState(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return abortable(this.#parts.states.clear(this.#ref), options.signal)
  }

  /** Status, phase and progress; `null` if no state was set. */
  async meta(options: { readonly signal?: AbortSignal } = {}): Promise<FlowMeta | null> {
    return abortable(this.#parts.states.meta(this.#ref), options.signal)
  }
}

/** Whether the range holds events beyond the page: its ends are those of the log, or the log's own. */
function hasMore(page: Page, order: 'asc' | 'desc', after: number, before: number): boolean {
  const last = page.events.at(-1)
  if (!last) return false
  const { head, floor } = page.position
  return order === 'asc' ? last.seq < Math.min(head, before - 1) : last.seq > Math.max(floor, after) + 1
}
