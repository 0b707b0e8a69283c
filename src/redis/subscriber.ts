import { randomUUID } from 'node:crypto'
import { Ear } from './ear.js'
import { key } from './keys.js'
import type { Link } from './link.js'
import type { RedisSettings } from './settings.js'

/** What a subscriber tells. Messages are hints: they may be lost, and `hearing(false)` says that they surely are. */
export interface Listener {
  heard(channel: string, message: string): void
  /** `false`: messages may not arrive. `true`: all channels are heard, and some messages may have been missed before. */
  hearing(works: boolean): void
}

type Publish = (channel: string, message: string) => Promise<unknown>

/**
 * The channels that a process hears. One connection does it; on a Cluster with sharded messages one a master, each
 * for the channels whose slots it owns, moved when a slot moves.
 */
export class Subscriber {
  readonly #link: Link
  readonly #settings: RedisSettings
  readonly #listener: Listener
  readonly #publish: Publish
  readonly #ears = new Map<string, Ear>()
  /** Each wanted channel, and the place that hears it; undefined while it waits for one. */
  readonly #channels = new Map<string, string | undefined>()
  /** Whoever asks for a channel that is just being entered waits for the same answer. */
  readonly #entering = new Map<string, Promise<boolean>>()
  #fresh = new Map<string, (entered: boolean) => void>()
  #flush: NodeJS.Immediate | undefined
  #hearing = false
  #closed = false
  readonly #stopWatching: () => void

  constructor(link: Link, settings: RedisSettings, listener: Listener, publish: Publish) {
    this.#link = link
    this.#settings = settings
    this.#listener = listener
    this.#publish = publish
    this.#stopWatching = link.onMoved(() => this.#settle())
    this.#settle()
  }

  get hearing(): boolean {
    return this.#hearing
  }

  /** Goes out with all others of this turn. Resolves true once it is heard; false: `hearing(true)` will tell. */
  subscribe(channel: string): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false)
    const entering = this.#entering.get(channel)
    if (entering) return entering
    if (this.#channels.has(channel)) return Promise.resolve(this.#hearing)
    this.#channels.set(channel, undefined)
    const entered = new Promise<boolean>((resolve) => {
      this.#fresh.set(channel, resolve)
      this.#flush ??= setImmediate(() => this.#enter())
    })
    this.#entering.set(channel, entered)
    void entered.then(() => this.#entering.delete(channel))
    return entered
  }

  unsubscribe(channel: string): void {
    const place = this.#channels.get(channel)
    this.#channels.delete(channel)
    this.#fresh.get(channel)?.(false)
    this.#fresh.delete(channel)
    if (place !== undefined) this.#ears.get(place)?.remove([channel])
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stopWatching()
    clearImmediate(this.#flush)
    for (const entered of this.#fresh.values()) entered(false)
    for (const ear of this.#ears.values()) ear.close()
  }

  #enter(): void {
    this.#flush = undefined
    const fresh = this.#fresh
    this.#fresh = new Map()
    for (const [place, channels] of this.#byPlace([...fresh.keys()])) {
      const told = (entered: boolean) => {
        for (const channel of channels) fresh.get(channel)?.(entered)
      }
      if (place === undefined) told(false)
      else void this.#earAt(place).add(channels).then(told)
    }
  }

  /** Puts every channel where it is heard now, and lets go of places that nobody owns any more. */
  #settle(): void {
    if (this.#closed) return
    const moved = new Map<string, string[]>()
    for (const [channel, before] of this.#channels) {
      const place = this.#link.placeOf(channel)
      if (place === before || place === undefined || this.#fresh.has(channel)) continue
      if (before !== undefined) this.#ears.get(before)?.remove([channel])
      this.#channels.set(channel, place)
      moved.set(place, [...(moved.get(place) ?? []), channel])
    }
    for (const [place, channels] of moved) void this.#earAt(place).add(channels)
    const own = this.#link.placeOf('')
    if (own !== undefined) this.#earAt(own)
    const used = new Set([...this.#channels.values(), own])
    for (const [place, ear] of this.#ears) {
      if (used.has(place) || own === undefined) continue
      ear.close()
      this.#ears.delete(place)
    }
    this.#tell()
  }

  #byPlace(channels: readonly string[]): Map<string | undefined, string[]> {
    const groups = new Map<string | undefined, string[]>()
    for (const channel of channels) {
      if (!this.#channels.has(channel)) continue
      const place = this.#link.placeOf(channel)
      this.#channels.set(channel, place)
      groups.set(place, [...(groups.get(place) ?? []), channel])
    }
    return groups
  }

  #earAt(place: string): Ear {
    const known = this.#ears.get(place)
    if (known) return known
    const { probeMs, commandTimeoutMs } = this.#settings
    const ear = new Ear(this.#link.ear(place), {
      sharded: this.#link.sharded,
      probeMs,
      patienceMs: commandTimeoutMs * 2,
      probe: this.#probeAt(place),
      publish: this.#publish,
      heard: (channel, message) => this.#listener.heard(channel, message),
      hearing: () => this.#tell(),
    })
    this.#ears.set(place, ear)
    // Until the new one hears too, messages for its channels are missed though the others work.
    this.#tell()
    return ear
  }

  /** A channel of our own whose slot is owned by that place. */
  #probeAt(place: string): string {
    for (;;) {
      const channel = key('spillway:probe', { token: randomUUID() })
      if (this.#link.placeOf(channel) === place) return channel
    }
  }

  #tell(): void {
    if (this.#closed) return
    const placed = [...this.#channels.values()].every((place) => place !== undefined)
    const works = placed && this.#ears.size > 0 && [...this.#ears.values()].every((ear) => ear.works)
    if (works === this.#hearing) return
    this.#hearing = works
    this.#listener.hearing(works)
  }
}
