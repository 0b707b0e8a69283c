import type { RedisClient } from '../redis/client.js'
import { markerKeys } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import type { Sight, TermRedis } from './ports.js'

const MARK = loadScript(import.meta.url, 'term-mark.lua')
const CONFIRM = loadScript(import.meta.url, 'term-confirm.lua')

const READY_MS = 1000

/** The markers of the term: one key on a server, one in each part of a Cluster's slots. */
export class RedisMarkers implements TermRedis {
  readonly markerKey: string | undefined
  readonly #redis: RedisClient
  readonly #keys: readonly string[]

  constructor(redis: RedisClient) {
    this.#redis = redis
    this.#keys = markerKeys(redis.kind)
    this.markerKey = redis.kind === 'standalone' ? this.#keys[0] : undefined
  }

  async look(): Promise<Sight> {
    const identity = await this.#redis.identify()
    const markers = await this.#redis.probe(this.#keys)
    const [first = null] = markers
    return { identity, marker: markers.every((marker) => marker === first) ? first : null }
  }

  async mark(number: number, attempt: string): Promise<boolean> {
    // A server that was refused until now may be used from here on.
    await this.#redis.ready(READY_MS)
    return this.#all(MARK, number, attempt)
  }

  async confirm(number: number, attempt: string): Promise<boolean> {
    return this.#all(CONFIRM, number, attempt)
  }

  reconsider(): void {
    this.#redis.reconsider()
  }

  async #all(script: typeof MARK, number: number, attempt: string): Promise<boolean> {
    const answers = await Promise.all(
      this.#keys.map((marker) => this.#redis.run(script, [marker], [number, attempt])),
    )
    return answers.every((answer) => answer === 1)
  }
}
