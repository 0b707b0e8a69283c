import { notSent, translate } from '../../../src/redis/errors.js'
import type { Sight, TermRedis } from '../../../src/term/ports.js'
import type { Off } from './guards.js'
import { Link, type Server, thaw } from './link.js'
import type { MovedLease, StoredLease } from './postgres.js'
import type { Host, World } from './world.js'

interface Data {
  marker: string | null
  grants: number
  readonly leases: Map<string, StoredLease>
}

const empty = (): Data => ({ marker: null, grants: 0, leases: new Map() })
const copy = (data: Data): Data => ({ ...data, leases: new Map(data.leases) })

/** One Redis: what it holds, and who it is. */
export class SimRedis implements Server {
  up = true
  frozen = false
  readonly thawed: (() => void)[] = []
  data = empty()
  identity = 'run-1'
  #older = empty()
  #lives = 1
  readonly #world: World
  readonly #rate: number

  constructor(world: World, rate: number) {
    this.#world = world
    this.#rate = rate
  }

  now(): number {
    return this.#world.now * this.#rate
  }

  /** What a restart from an older file finds. */
  save(): void {
    this.#older = copy(this.data)
  }

  kill(): void {
    this.up = false
    thaw(this)
  }

  start(data: 'same' | 'older' | 'empty'): void {
    if (this.up) return
    this.up = true
    this.#lives += 1
    this.identity = `run-${this.#lives}`
    if (data === 'older') this.data = copy(this.#older)
    if (data === 'empty') this.data = empty()
  }

  flush(): void {
    this.data = empty()
  }
}

/** Redis, as one instance reaches it. */
export class SimMarkers implements TermRedis {
  readonly markerKey = 'marker'
  readonly link: Link
  readonly #server: SimRedis
  readonly #off: Off
  #connected: string | undefined
  /** Who decides about servers. */
  judge: { admits(identity: string): boolean } = { admits: () => false }

  constructor(host: Host, server: SimRedis, off: Off) {
    // The time-out of an operation of record.
    this.link = new Link(host, server, 400)
    this.#server = server
    this.#off = off
  }

  look(): Promise<Sight> {
    if (!this.#usable() && this.#server.up) {
      return this.link.ask<Sight>(
        (answer) => answer({ identity: this.#server.identity, marker: null }),
        ERRORS,
      )
    }
    return this.send<Sight>(({ data, identity }) => ({ identity, marker: data.marker }))
  }

  /** Played after term-mark.lua; that the two agree is shown by nothing but reading. */
  mark(number: number, attempt: string): Promise<boolean> {
    return this.send(({ data }) => {
      const [known = 0, phase] = parse(data.marker)
      const taken = known > number || (known === number && phase === 'open')
      if (taken && !this.#off.has('no carry-over into an open term')) return false
      data.marker = `${number}:carrying:${attempt}`
      return true
    })
  }

  /** As term-confirm.lua. */
  confirm(number: number, attempt: string): Promise<boolean> {
    return this.send(({ data }) => {
      const open = `${number}:open:${attempt}`
      if (data.marker === open) return true
      const [known, phase] = parse(data.marker)
      const other =
        known !== number || phase !== 'carrying' || data.marker !== `${number}:carrying:${attempt}`
      if (other && !(this.#off.has('attempt') && known === number)) return false
      data.marker = open
      return true
    })
  }

  reconsider(): void {
    if (this.#connected !== undefined && !this.judge.admits(this.#connected)) this.#connected = undefined
  }

  /** Takes in the leases of a term that PostgreSQL had; refused where a later term is open. */
  carry(ending: number, leases: readonly MovedLease[]): Promise<boolean> {
    return this.send((server) => {
      const { data } = server
      const [known = 0, phase] = parse(data.marker)
      const late = known > ending + 1 || (known === ending + 1 && phase === 'open')
      if (late && !this.#off.has('no carry-over into an open term')) return false
      for (const { name, fence, leftMs } of leases) {
        const older = data.leases.get(name)
        const until = server.now() + leftMs
        const sooner = older?.fence === fence ? Math.max(older.until, until) : until
        if (!older || older.fence <= fence) data.leases.set(name, { fence, until: sooner })
      }
      return true
    })
  }

  /** One script, on the connection that this instance has or makes now. */
  async send<T>(execute: (server: SimRedis) => T): Promise<T> {
    if (this.#server.up && !this.#usable()) throw notSent('another server')
    const connected = this.#connected
    return this.link.ask<T>((answer, fail) => {
      // A restart has broken the connection that this came on.
      if (this.#server.identity !== connected) fail(translate(new Error('Connection is closed.')))
      else answer(execute(this.#server))
    }, ERRORS)
  }

  #usable(): boolean {
    if (this.#connected === this.#server.identity) return true
    this.#connected = this.judge.admits(this.#server.identity) ? this.#server.identity : undefined
    return this.#connected !== undefined
  }
}

function parse(marker: string | null): readonly [number | undefined, string | undefined] {
  const [number, phase] = marker?.split(':') ?? []
  return [number === undefined ? undefined : Number(number), phase]
}

const ERRORS = {
  refused: () => notSent('connect ECONNREFUSED'),
  lost: () => translate(new Error('Command timed out')),
}
