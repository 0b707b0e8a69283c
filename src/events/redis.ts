import { setTimeout as delay } from 'node:timers/promises'
import { SpillwayError } from '../errors.js'
import type { RedisClient, Reply } from '../redis/client.js'
import { faultOf } from '../redis/errors.js'
import { key } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import { type FlowRef, flowTag } from '../tenant.js'
import type { Reign, Term } from '../term/term.js'
import type { Beginnings, Start } from './beginnings.js'
import { LEAP } from './kinds.js'
import type { Batch, Draft, EventLog, Outcome, Page, Range, Since, StoredEvent } from './log.js'

const APPEND = loadScript(import.meta.url, 'fast-append.lua')
const READ = loadScript(import.meta.url, 'fast-read.lua')

/** Another instance that begins a flow has done it by then; if it has not, its numbers are passed over. */
const OTHERS_BEGIN_MS = [10, 30, 100]

/** Payload bytes of one read, unless a single event is larger. */
const PAGE_BYTES = 4 * 1024 * 1024

export interface RedisLogOptions {
  readonly redis: RedisClient
  readonly term: Term
  readonly beginnings: Beginnings
  /** Events kept in a flow; some more may stay. */
  readonly maxEvents: number
  /** ms of silence after which a flow's events go. */
  readonly silenceMs: number
}

/**
 * Fast flows on Redis: one stream a flow, in which each event has its own id, and a companion that remembers how
 * far the flow has counted. Order and idempotence as the contract says, a flow at a time: a batch of several
 * flows is as many scripts.
 */
export class RedisLog implements EventLog {
  readonly #options: RedisLogOptions

  constructor(options: RedisLogOptions) {
    this.#options = options
  }

  append(drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    return this.#options.term.operate((reign) => this.appendIn(reign, drafts, batch))
  }

  /** As `append`, under a reign. Errors: `TERM_UNKNOWN` if Redis has another. */
  async appendIn(reigning: Reign, drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = new Array(drafts.length)
    const flows = new Map<string, number[]>()
    drafts.forEach((draft, place) => {
      if (draft.durability === 'durable') {
        outcomes[place] = { error: new SpillwayError('DURABILITY_FIXED', NOT_DURABLE) }
        return
      }
      const tag = flowTag(draft)
      const places = flows.get(tag)
      if (places) places.push(place)
      else flows.set(tag, [place])
    })
    // All settle before one failure is told: what runs on would surprise the repeat. It is told for all of them.
    const results = await Promise.allSettled(
      [...flows.values()].map((places) =>
        this.#appendFlow(drafts, places, batch, reigning, outcomes).catch((error: unknown) => {
          // The other flows have theirs already: sent apart, under another token, they would have it twice.
          if (!isRefusal(error, batch)) throw error
          for (const place of places) outcomes[place] = { error }
        }),
      ),
    )
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    if (failures.length === 0) return outcomes
    if (failures.length < results.length || failures.some(isUnknown)) partly.add(failures[0])
    throw failures[0]
  }

  async #appendFlow(
    drafts: readonly Draft[],
    places: readonly number[],
    batch: Batch,
    reigning: Reign,
    outcomes: Outcome[],
  ): Promise<void> {
    const ref = drafts[places[0] as number] as Draft
    const own = places.map((place) => drafts[place] as Draft)
    const token = batch.token.slice(0, 13)
    const reply = await this.#send(ref, own, batch, reigning)
    if (isOfAnotherTerm(reply)) {
      throw new SpillwayError(
        'TERM_UNKNOWN',
        `Redis refused the events: it is not in term ${reigning.number} any more`,
      )
    }
    const at = Number(reply[0])
    const seen = new Set<number>()
    own.forEach(({ type, source, payload }, i) => {
      const one = reply[i + 1]
      const fresh = typeof one === 'number'
      const event = fresh ? { term: reigning.number, seq: one, type, source, payload, at } : toEvent(one)
      // What the first try of this batch has stored is its own, but for the second event of a key.
      const own = fresh || (batch.repeat && tokenOf(one) === token && !seen.has(event.seq))
      outcomes[places[i] as number] = { event, repeated: !own, durability: 'fast' }
      seen.add(event.seq)
    })
  }

  /** Until Redis takes it, or says why it does not. What it does not know how to go on with it takes nothing of. */
  async #send(
    ref: FlowRef,
    drafts: readonly Draft[],
    batch: Batch,
    reigning: Reign,
  ): Promise<readonly Reply[]> {
    const { beginnings } = this.#options
    for (let tries = 0; ; tries++) {
      const asked = this.#start(ref, reigning)
      const start = 'base' in asked ? asked : await asked
      const reply = await this.#run(ref, drafts, batch, reigning, start)
      if (reply[0] !== 'NEW') return reply
      const othersMs = start.known === 0 ? OTHERS_BEGIN_MS[tries] : undefined
      if (othersMs !== undefined) await delay(othersMs)
      else await this.#unsent(beginnings.again(ref, reigning.number))
    }
  }

  async #run(
    ref: FlowRef,
    drafts: readonly Draft[],
    batch: Batch,
    reigning: Reign,
    start: Start,
  ): Promise<readonly Reply[]> {
    const { redis, maxEvents, silenceMs, beginnings } = this.#options
    const args = [
      reigning.marker,
      reigning.marker === '' ? '' : reigning.sign,
      reigning.number,
      start.base,
      start.known,
      start.begins,
      beginnings.clockFrom ?? '',
      LEAP,
      maxEvents,
      silenceMs,
      redis.publishCommand,
      key('flow:updates', ref),
      batch.token.slice(0, 13),
      batch.repeat ? '1' : '0',
    ]
    for (const draft of drafts) args.push(draft.type, draft.source, draft.payload, draft.key ?? '')
    const keys = [key('flow:events', ref), key('flow:log', ref), key('flow:keys', ref)]
    try {
      const reply = await redis.run(APPEND, keys, args, reigning.identity || undefined)
      if (!Array.isArray(reply)) throw new SpillwayError('INTERNAL', 'fast-append.lua answered no list')
      if (isOfAnotherTerm(reply)) beginnings.unused(ref, reigning.number, start)
      return reply
    } catch (error) {
      if (!isUnknown(error)) beginnings.unused(ref, reigning.number, start)
      throw error
    }
  }

  /** Errors: refusals, all of them: nothing was sent yet. */
  #start(ref: FlowRef, { number }: Reign): Start | Promise<Start> {
    const { beginnings } = this.#options
    try {
      const start = beginnings.start(ref, number)
      if ('base' in start) return start
      // It may come too late for this publish, and is the next one's then.
      return this.#unsent(start, (late) => beginnings.unused(ref, number, late))
    } catch (error) {
      return refuse(error)
    }
  }

  /** PostgreSQL may take seconds to fail: flows that need nothing of it would wait as long. */
  #unsent<T>(work: Promise<T>, late: (answer: T) => void = () => undefined): Promise<T> {
    return within(work, this.#options.redis.settings.commandTimeoutMs, late).catch(refuse)
  }

  async read(ref: FlowRef, range: Range): Promise<Page> {
    const { after = 0, before = Number.MAX_SAFE_INTEGER, order, limit } = range
    // As of before the question: a flow that was empty then may have been lost since.
    const reigning = this.#options.term.last?.number ?? 1
    const { redis, beginnings, silenceMs } = this.#options
    const reply = await redis.run(
      READ,
      [key('flow:events', ref), key('flow:log', ref)],
      [after, before, order, limit, PAGE_BYTES, silenceMs],
    )
    if (!Array.isArray(reply)) throw new SpillwayError('INTERNAL', 'fast-read.lua answered no list')
    if (reply.length === 0) {
      // Nothing of this term is here: whoever has events of another is told with its first.
      const termFrom = Number.MAX_SAFE_INTEGER
      return { position: { term: reigning, termFrom, head: 0, floor: 0 }, durability: null, events: [] }
    }
    const [head, term, termFrom, floor, lost, behind, bornIn, born] = reply.slice(0, 8).map(Number) as Figures
    const entries = reply[8]
    // By the clock what lies before the beginning was lost only where Redis says so. Where PostgreSQL remembers it was lost
    // unless that says that the flow was new.
    const byTheClock = beginnings.clockFrom !== undefined && lost !== born - 1
    const origin = byTheClock ? { term: bornIn, seq: born - 1 } : behind > 0 && { term: 0, seq: behind }
    return {
      position: { term, termFrom, head, floor, ...(lost > 0 && { lost }), ...(origin && { origin }) },
      durability: 'fast',
      events: Array.isArray(entries) ? entries.map(toEvent) : [],
    }
  }

  readSince(flows: readonly Since[], limit: number): Promise<readonly Page[]> {
    return Promise.all(flows.map((since) => this.read(since, { after: since.after, order: 'asc', limit })))
  }
}

type Figures = [
  head: number,
  term: number,
  termFrom: number,
  floor: number,
  lost: number,
  behind: number,
  bornIn: number,
  born: number,
]

function isOfAnotherTerm([first]: readonly Reply[]): boolean {
  return first === 'TERM' || first === 'PASSED'
}

/** Failures of batches of which some flows have their part, or may have. */
const partly = new WeakSet<object>()

function isUnknown(error: unknown): boolean {
  return faultOf(error)?.outcome === 'unknown'
}

/** Whether Redis may have some of a batch that failed so. */
export function mayBeStored(error: unknown): boolean {
  return isUnknown(error) || (typeof error === 'object' && error !== null && partly.has(error))
}

/** Errors with which one flow was refused, before anything of it was sent. */
const refusals = new WeakSet<SpillwayError>()

function refuse(error: unknown): never {
  if (error instanceof SpillwayError) refusals.add(error)
  throw error
}

/**
 * Whether nothing of the flow is stored, whatever became of the others: what it fails with is about the flow alone.
 * Of a repeat that is not known: its first try may have been taken.
 */
function isRefusal(error: unknown, { repeat }: Batch): error is SpillwayError {
  if (!(error instanceof SpillwayError)) return false
  if (error.code === 'DURABILITY_FIXED') return true
  return !repeat && (refusals.has(error) || faultOf(error)?.kind === 'ours')
}

async function within<T>(work: Promise<T>, ms: number, onLate: (answer: T) => void): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      work.then(onLate, () => undefined)
      const message = `PostgreSQL was asked about a flow that Redis does not know, and has not answered within ${ms} ms`
      reject(new SpillwayError('STORE_UNAVAILABLE', message, { retryAfterMs: 1000 }))
    }, ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function tokenOf(entry: unknown): unknown {
  return Array.isArray(entry) && Array.isArray(entry[1]) ? entry[1][11] : undefined
}

const NOT_DURABLE = 'This flow is fast: Redis alone keeps it, so it cannot be published to as durable'

/** Reads a stream entry: its id, then names and values in the order in which the scripts write them. */
export function toEvent(entry: unknown): StoredEvent {
  const [id, fields] = Array.isArray(entry) ? entry : []
  const match = typeof id === 'string' && /^(\d+)-(\d+)$/.exec(id)
  if (!match || !Array.isArray(fields))
    throw new SpillwayError('INTERNAL', 'An entry of a stream is not one of ours')
  const [, type, , payload, , at, , source] = fields
  return {
    term: Number(match[1]),
    seq: Number(match[2]),
    type: String(type),
    source: String(source),
    payload: String(payload),
    at: Number(at),
  }
}
