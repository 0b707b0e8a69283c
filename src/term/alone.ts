import { randomBytes } from 'node:crypto'
import { SpillwayError } from '../errors.js'
import { type Identity, RedisClient } from '../redis/client.js'
import { BUCKETS, key } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import type { RedisSettings } from '../redis/settings.js'
import { type Marker, markOf, numberIn, parseMarker, TERMS_SINCE_S } from './marker.js'
import { REAL, type Sight, type Surroundings, type TermStatus, type TermStep } from './ports.js'
import type { OperateOptions, Participant, Reign, Term } from './term.js'
import { DRIFT, TIMING, type Timing } from './timing.js'
import { RedisView } from './view.js'

const FOUND = loadScript(import.meta.url, 'term-found.lua')
const FOLLOW = loadScript(import.meta.url, 'term-follow.lua')

/** Looks in one go: each settles what the one before has found. */
const LOOKS = 6
/** In which whoever begins a term has reached all buckets, unless it never will. */
const SETTLE_MS = 200
/** Before another try to start. */
const AGAIN_MS = 50

export interface AloneOptions {
  readonly settings: RedisSettings
  readonly name: string
  readonly timing?: Timing
  readonly around?: Surroundings
  /** Told of every term that begins, and of what fails. */
  readonly onStep?: (step: TermStep) => void
}

/**
 * Fences that a term can give in each of its seconds before the next one might give them again: so many that those of
 * the last possible term are whole numbers still.
 */
const FENCES_A_SECOND = 2 ** 22

function isTemporary(error: unknown): boolean {
  return error instanceof SpillwayError && error.code === 'STORE_UNAVAILABLE'
}

/** A term that this instance has seen whole, the server that it is of, and its beginning on the own clock. */
interface Known extends Marker {
  readonly identity: Identity
  readonly since: number
}

/**
 * The term where Redis is the only store. Nobody but Redis can say which it is, and it may forget; so a term belongs to
 * one life of one server, and begins anew whenever its marker is missing, is of another server, or is older than what
 * this instance has seen. Numbers are seconds of the store's clock, or more: they grow also where nobody remembers.
 *
 * It looks over a connection of its own. The one that capabilities use is only ever connected to the server of the
 * term: a Redis that was restarted with its old marker would take the operations of the old term for its own.
 */
export class AloneTerm implements Term {
  /** For what has its record in Redis. */
  readonly client: RedisClient
  readonly #eye: RedisClient
  readonly #options: AloneOptions
  readonly #timing: Timing
  readonly #around: Surroundings
  readonly #view: RedisView
  readonly #keys: readonly string[]
  readonly #listeners = new Set<() => void>()
  #known: Known | undefined
  /** When the last look began that found it. */
  #seenAt = Number.NEGATIVE_INFINITY
  #quarantinedUntil = Number.NEGATIVE_INFINITY
  #shown: number | undefined
  #closed = false

  constructor(options: AloneOptions) {
    this.#options = options
    this.#timing = options.timing ?? TIMING
    this.#around = options.around ?? REAL
    this.#keys = BUCKETS.map((bucket) => key('term:marker', { bucket }))
    this.client = RedisClient.open(options.settings, {
      onConnect: (identity) => (this.#known?.identity === identity ? 'use' : 'refuse'),
      onUsable: () => this.#nudge(),
    })
    this.#eye = RedisClient.open(
      { ...options.settings, name: `${options.settings.name}:term` },
      { onUsable: () => this.#nudge() },
    )
    this.#view = new RedisView({ look: () => this.#look() }, this.#timing, this.#around, () => this.#show())
  }

  /** Finds the term, or begins it. Errors: `STORE_UNAVAILABLE` after `withinMs`. */
  async start(withinMs: number): Promise<void> {
    const until = this.#around.now() + withinMs
    const left = () => Math.max(0, until - this.#around.now())
    for (;;) {
      try {
        await this.#eye.ready(left())
        await this.#look()
        await this.client.ready(left())
        break
      } catch (error) {
        // A connection that broke meanwhile is made anew.
        if (left() === 0 || !isTemporary(error)) throw error
        await this.#pause(AGAIN_MS)
      }
    }
    void this.#view.look()
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#around.after(ms, resolve))
  }

  get reign(): Reign | undefined {
    const fresh = this.#around.now() - this.#seenAt < this.#timing.trustMs
    return fresh && this.#view.view !== 'down' ? this.last : undefined
  }

  get last(): Reign | undefined {
    const known = this.#known
    if (!known) return undefined
    return {
      number: known.number,
      store: 'redis',
      sign: known.text,
      identity: known.identity,
      marker: (this.client.kind === 'standalone' && this.#keys[0]) || '',
      fenceFloor: known.number * FENCES_A_SECOND,
      quarantined: this.#around.now() < this.#quarantinedUntil,
    }
  }

  get status(): TermStatus {
    const { reign } = this
    const known = this.#known
    const now = this.#around.now()
    return {
      row: known && {
        number: known.number,
        store: 'redis',
        phase: 'open',
        want: null,
        switcher: null,
        reason: null,
        identity: known.identity,
        attempt: null,
        healthyMs: 0,
        held: false,
        openMs: now - known.since,
        quarantineMs: this.#quarantinedUntil - now,
      },
      fleet: [],
      reign: reign && { number: reign.number, store: reign.store },
      trusted: reign !== undefined,
      view: this.#view.view,
      life: this.#options.name,
    }
  }

  async operate<T>(run: (reign: Reign) => Promise<T>, _options?: OperateOptions): Promise<T> {
    const { reign } = this
    if (!reign)
      throw new SpillwayError('TERM_UNKNOWN', 'Redis does not say now which term it is in', {
        retryAfterMs: 500,
      })
    try {
      const known = this.#known
      const answer = await run(reign)
      if (this.#known?.text === known?.text) return answer
    } catch (error) {
      // Refused under its marker: Redis has another term, or none, and the next look is due anyway.
      if (error instanceof SpillwayError && error.code === 'TERM_UNKNOWN') this.#nudge()
      throw error
    }
    throw new SpillwayError('OUTCOME_UNKNOWN', `Term ${reign.number} ended before the answer came`)
  }

  onChange(told: () => void): () => void {
    this.#listeners.add(told)
    return () => this.#listeners.delete(told)
  }

  /** Nothing is carried where there is one store. */
  join(_participant: Participant): void {}

  close(): void {
    this.#closed = true
    this.#view.close()
    this.#eye.close()
    this.client.close()
  }

  #nudge(): void {
    if (!this.#closed && this.#known) void this.#view.look()
  }

  /** Looks until all buckets are in one term, and begins it where there is none. Errors: `STORE_UNAVAILABLE`. */
  async #look(): Promise<Sight> {
    let awaited: string | undefined
    for (let looks = 0; looks < LOOKS; looks++) {
      const begun = this.#around.now()
      const identity = this.#eye.identity
      const { markers, nowMs } = await this.#markers()
      // What was read may be of either server: the next look is of one.
      if (identity === undefined || identity !== this.#eye.identity) continue
      const [first = null] = markers
      const marker = parseMarker(first)
      const fits = marker?.mark === markOf(identity) && this.#isLatest(marker)
      if (fits && markers.every((text) => text === first)) {
        const passed = Math.max(0, nowMs - marker.begunMs)
        this.#seenAt = begun
        this.#take({ ...marker, identity, since: this.#around.now() - passed })
        return { identity, marker: marker.text }
      }
      if (fits && marker.text !== this.#known?.text && marker.text !== awaited) {
        // Somebody is on the way through the buckets. Who stands still there has died, or has lost one.
        awaited = marker.text
        await this.#pause(SETTLE_MS)
      } else await this.#begin(markers, identity)
    }
    throw new SpillwayError('STORE_UNAVAILABLE', 'Redis changes while it is looked at', { retryAfterMs: 500 })
  }

  /** What all buckets say, and the time on the store's clock. */
  async #markers(): Promise<{ markers: (string | null)[]; nowMs: number }> {
    const [time, ...found] = await Promise.all([
      this.#eye.call('time'),
      ...this.#keys.map((one) => this.#eye.call('get', one)),
    ])
    const [seconds, micros] = Array.isArray(time) ? time : []
    return {
      markers: found.map((text) => (typeof text === 'string' ? text : null)),
      nowMs: Number(seconds) * 1000 + Number(micros) / 1000,
    }
  }

  /** Whether no later term is known here, and not this number for another one. */
  #isLatest({ number, text }: Marker): boolean {
    const known = this.#known
    return !known || number > known.number || text === known.text
  }

  /** The first bucket decides between those who try at once; the rest follows it. */
  async #begin(markers: readonly (string | null)[], identity: Identity): Promise<void> {
    const [first = '', ...others] = this.#keys
    const highest = Math.max(this.#known?.number ?? 0, ...markers.map(numberIn))
    const nonce = randomBytes(8).toString('hex')
    const text = await this.#eye.run(
      FOUND,
      [first],
      [markers[0] ?? '', highest, TERMS_SINCE_S, markOf(identity), nonce],
    )
    if (typeof text !== 'string' || !text.endsWith(nonce)) return
    await Promise.all(others.map((one) => this.#eye.run(FOLLOW, [one], [text, numberIn(text)])))
  }

  #take(found: Known): void {
    const before = this.#known
    if (before?.text === found.text && before.identity === found.identity) return
    this.#known = found
    // Leases that were granted in the term before may still be held, and nobody can say which.
    this.#quarantinedUntil = found.since + this.#timing.longestLeaseMs * DRIFT
    if (this.client.usable && this.client.identity !== found.identity) this.client.reconnect()
    this.#options.onStep?.({
      step: 'opened',
      number: found.number,
      store: 'redis',
      detail: before ? 'identity' : '',
    })
    this.#show()
  }

  /** Tells of a change of what `reign` answers. */
  #show(): void {
    const { reign } = this
    if (reign?.number === this.#shown) return
    this.#shown = reign?.number
    for (const told of [...this.#listeners]) told()
  }
}
