import { notSent, translate } from '../../../src/redis/errors.js'
import type { Sight, TermRedis } from '../../../src/term/ports.js'
import type { Off } from './guards.js'
import { Link, type Server, thaw } from './link.js'
import { copyOf, nothing, type Stored } from './stored.js'
import type { Host, World } from './world.js'

interface Data extends Stored {
  marker: string | null
}

const empty = (): Data => ({ marker: null, ...nothing() })

/** One Redis: what it holds, and who it is. */
export class SimRedis implements Server {
  up = true
  frozen = false
  readonly thawed: (() => void)[] = []
  data = empty()
  /** How often it has lost what it held. */
  losses = 0
  /** The last carry-over that was marked, and what had been lost until then. */
  marked = { number: 0, losses: 0 }
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
    this.#older = copyOf(this.data)
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
    if (data === 'same') return
    this.losses += 1
    this.data = data === 'older' ? copyOf(this.#older) : empty()
  }

  flush(): void {
    this.losses += 1
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
        'look',
        (answer) => answer({ identity: this.#server.identity, marker: null }),
        ERRORS,
      )
    }
    return this.send<Sight>('look', ({ data, identity }) => ({ identity, marker: data.marker }))
  }

  /** Played after term-mark.lua; test/term/model puts the same requests to both. */
  mark(number: number, attempt: string): Promise<boolean> {
    return this.send('mark', (server) => {
      const { data } = server
      const [known = 0, phase] = parse(data.marker)
      const taken = known > number || (known === number && phase === 'open')
      if (taken && !this.#off.has('no carry-over into an open term')) return false
      data.marker = `${number}:carrying:${attempt}`
      server.marked = { number, losses: server.losses }
      return true
    })
  }

  /** As term-confirm.lua. */
  confirm(number: number, attempt: string): Promise<boolean> {
    return this.send('confirm', ({ data }) => {
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

  /** Takes in what PostgreSQL had of a term; refused where a later one is open. */
  carry(ending: number, takeIn: (server: SimRedis) => void): Promise<boolean> {
    return this.send('carry', (server) => {
      const [known = 0, phase] = parse(server.data.marker)
      const late = known > ending + 1 || (known === ending + 1 && phase === 'open')
      if (late && !this.#off.has('no carry-over into an open term')) return false
      takeIn(server)
      return true
    })
  }

  /** One script, on the connection that this instance has or makes now. */
  async send<T>(kind: string, execute: (server: SimRedis) => T): Promise<T> {
    if (this.#server.up && !this.#usable()) throw notSent('another server')
    const connected = this.#connected
    return this.link.ask<T>(
      kind,
      (answer, fail) => {
        // A restart has broken the connection that this came on.
        if (this.#server.identity !== connected) fail(translate(new Error('Connection is closed.')))
        else answer(execute(this.#server))
      },
      ERRORS,
    )
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
