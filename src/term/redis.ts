import { SpillwayError } from '../errors.js'
import { type Identity, RedisClient } from '../redis/client.js'
import { BUCKETS, key } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import type { RedisSettings } from '../redis/settings.js'
import type { Sight, TermRedis } from './ports.js'

const MARK = loadScript(import.meta.url, 'term-mark.lua')
const CONFIRM = loadScript(import.meta.url, 'term-confirm.lua')

/** A carry-over waits so long for a server that was refused until now. */
const READY_MS = 1000
/** A refusal is repeated at every attempt to connect; an older one says nothing. */
const FRESH_MS = 1500

/** Who decides about servers and hears of them. */
export interface Judge {
  /** Whether a Redis that says it is this one may be used. */
  admits(identity: Identity): boolean
  /** Redis was connected or lost. */
  nudge(): void
}

/** The markers of the term, one in each bucket of keys, and what else the term wants to know of Redis. */
export class RedisMarkers implements TermRedis {
  readonly client: RedisClient
  readonly markerKey: string | undefined
  readonly #keys: readonly string[]
  #judge: Judge | undefined
  #refused: { readonly identity: Identity; readonly at: number } | undefined

  constructor(settings: RedisSettings) {
    this.client = RedisClient.open(settings, {
      onConnect: (identity) => this.#meet(identity),
      onUsable: () => this.#judge?.nudge(),
    })
    this.#keys = BUCKETS.map((bucket) => key('term:marker', { bucket }))
    this.markerKey = this.client.kind === 'standalone' ? this.#keys[0] : undefined
  }

  /** Until there is a judge nobody is used: a Redis must not be written to before its term is known. */
  listenTo(judge: Judge): void {
    this.#judge = judge
  }

  async look(): Promise<Sight> {
    const { client } = this
    if (!client.usable && this.#refused && performance.now() - this.#refused.at < FRESH_MS) {
      return { identity: this.#refused.identity, marker: null }
    }
    // Memory that has run out, or a disk, shows in writes alone; every fourth bucket meets every server of a Cluster.
    const written = BUCKETS.filter((_, i) => i % 4 === 0).map((bucket) =>
      client.call('set', key('term:probe', { bucket }), '1', 'PX', 60_000),
    )
    const [markers] = await Promise.all([
      Promise.all(this.#keys.map((one) => client.call('get', one))),
      Promise.all(written),
    ])
    const [first] = markers
    const same = typeof first === 'string' && markers.every((marker) => marker === first)
    return { identity: client.identity ?? '', marker: same ? first : null }
  }

  async mark(number: number, attempt: string): Promise<boolean> {
    await this.client.ready(READY_MS)
    return this.#all(MARK, number, attempt)
  }

  confirm(number: number, attempt: string): Promise<boolean> {
    return this.#all(CONFIRM, number, attempt)
  }

  reconsider(): void {
    const { identity } = this.client
    if (identity !== undefined && !this.#judge?.admits(identity)) this.client.reconnect()
  }

  async #all(script: typeof MARK, number: number, attempt: string): Promise<boolean> {
    if (!this.client.usable) throw new SpillwayError('STORE_UNAVAILABLE', 'Redis is not connected')
    const args = [number, attempt]
    const answers = await Promise.all(this.#keys.map((marker) => this.client.run(script, [marker], args)))
    return answers.every((answer) => answer === 1)
  }

  #meet(identity: Identity): 'use' | 'refuse' {
    if (this.#judge?.admits(identity)) {
      this.#refused = undefined
      return 'use'
    }
    this.#refused = { identity, at: performance.now() }
    this.#judge?.nudge()
    return 'refuse'
  }
}
