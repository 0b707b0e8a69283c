import { SpillwayError } from '../../../src/errors.js'
import type { Queryable } from '../../../src/postgres/client.js'
import type { Beat, FleetMember, Opening, TermTable } from '../../../src/term/ports.js'
import type { Reason } from '../../../src/term/states.js'
import type { Participant, StoreName } from '../../../src/term/term.js'
import type { Off } from './guards.js'
import { Link, type Server, thaw } from './link.js'
import { type MovedLease, nothing, takeIn, takeInCount } from './stored.js'
import type { Witness } from './witness.js'
import type { Host, World } from './world.js'

interface Row {
  number: number
  store: StoreName
  phase: 'open' | 'closing'
  want: StoreName | null
  switcher: string | null
  reason: string | null
  identity: string | null
  attempt: string | null
  healthyMs: number
  held: boolean
  openedAt: number
  quarantineUntil: number
}

interface Instance extends Omit<FleetMember, 'ageMs'> {
  readonly beatAt: number
}

/** What PostgreSQL holds of the term and of locks, and what it does with it in one statement. */
export class SimPostgres implements Server {
  up = true
  frozen = false
  readonly thawed: (() => void)[] = []
  readonly row: Row = {
    number: 1,
    store: 'postgres',
    phase: 'open',
    want: null,
    switcher: null,
    reason: null,
    identity: null,
    attempt: null,
    healthyMs: 0,
    held: false,
    openedAt: 0,
    quarantineUntil: 0,
  }
  readonly instances = new Map<string, Instance>()
  readonly stored = nothing()
  /** Grows with every crash: a transaction that was not committed is gone. */
  epoch = 0
  /** How long a commit may take. */
  commitMs = 3
  /** Told who leads a closing, as soon as somebody does. */
  led: (life: string) => void = () => undefined
  /** One life whose commits take exactly so long. */
  slow: { readonly life: string; readonly ms: number } | undefined
  readonly #world: World
  readonly #rate: number

  constructor(world: World, rate: number) {
    this.#world = world
    this.#rate = rate
  }

  now(): number {
    return this.#world.now * this.#rate
  }

  crash(): void {
    this.up = false
    this.epoch += 1
    thaw(this)
  }

  inQuarantine(number: number): boolean {
    return this.row.number === number && this.now() < this.row.quarantineUntil
  }

  /** What a beat is told. Written out: it is asked for more often than anything else. */
  snapshot(me: Instance, windowMs: number): Beat {
    const now = this.now()
    const fleet: FleetMember[] = []
    const put = (one: Instance) => {
      const { life, name, view, identity, matches, stopped, beatAt } = one
      fleet.push({ life, name, view, identity, matches, stopped, ageMs: now - beatAt })
    }
    for (const one of this.instances.values()) {
      if (one.life !== me.life && now - one.beatAt < windowMs) put(one)
    }
    put(me)
    const { number, store, phase, want, switcher, reason, identity, attempt, healthyMs, held } = this.row
    const openMs = now - this.row.openedAt
    const quarantineMs = this.row.quarantineUntil - now
    const row = { number, store, phase, want, switcher, reason, identity, attempt, healthyMs, held }
    return { row: { ...row, openMs, quarantineMs }, fleet }
  }
}

/** PostgreSQL, as one instance reaches it. */
export class SimTable implements TermTable {
  readonly link: Link
  readonly #server: SimPostgres
  readonly #world: World
  readonly #witness: Witness
  readonly #off: Off

  constructor(host: Host, server: SimPostgres, witness: Witness, off: Off) {
    // What a beat has.
    this.link = new Link(host, server, 1500)
    this.#server = server
    this.#world = host.world
    this.#witness = witness
    this.#off = off
  }

  async beat(me: Omit<FleetMember, 'stopped' | 'ageMs'>, windowMs: number): Promise<Beat> {
    const server = this.#server
    const told = await this.link.ask<Beat>(
      'beat',
      (answer) => {
        const { epoch } = server
        const beatAt = server.now()
        const stopped = () => server.instances.get(me.life)?.stopped ?? 0
        // What a statement sees is from its beginning; what it wrote is seen from its commit on.
        const beat = server.snapshot({ ...me, stopped: stopped(), beatAt }, windowMs)
        this.#witness.begun(me.life)
        const usual = this.#world.between(0.2, server.commitMs)
        this.#world.in(server.slow?.life === me.life ? server.slow.ms : usual, () => {
          if (server.epoch !== epoch) return
          server.instances.set(me.life, { ...me, stopped: stopped(), beatAt })
          for (const [life, one] of server.instances) {
            if (one.beatAt < server.now() - 10 * windowMs) server.instances.delete(life)
          }
          answer(beat)
        })
      },
      AWAY,
    )
    this.#witness.beaten(me.life, told)
    return told
  }

  close(number: number, want: StoreName, life: string, reason: Reason): Promise<boolean> {
    this.#witness.closes(life, reason)
    return this.change('close', (row) => {
      if (row.number !== number || row.phase !== 'open') return false
      Object.assign(row, { phase: 'closing', want, switcher: life, reason })
      this.#server.led(life)
      return true
    })
  }

  takeOver(number: number, from: string | null, life: string): Promise<boolean> {
    return this.change('take over', (row) => {
      const mine = row.switcher === from || this.#off.has('take-over by compare-and-set')
      if (row.number !== number || row.phase !== 'closing' || !mine) return false
      row.switcher = life
      this.#server.led(life)
      return true
    })
  }

  turnBack(number: number, life: string): Promise<boolean> {
    return this.change('turn back', (row) => {
      if (row.number !== number || row.phase !== 'closing' || row.switcher !== life) return false
      row.want = 'postgres'
      return true
    })
  }

  async stop(number: number, life: string, participants: readonly Participant[]): Promise<boolean> {
    const reclaimed = await collect(participants, number)
    return this.change('stop', (row) => {
      this.#reclaim(reclaimed)
      const member = this.#server.instances.get(life)
      if (row.number !== number || row.phase !== 'closing' || !member) return false
      this.#server.instances.set(life, { ...member, stopped: number })
      return true
    })
  }

  open(number: number, life: string, opening: Opening): Promise<boolean> {
    return this.change('open', (row) => {
      const mine = row.switcher === life || this.#off.has('opening by compare-and-set')
      const closing = row.number === number && row.phase === 'closing'
      if (!(closing || this.#off.has('opening by compare-and-set')) || !mine) return false
      const store = row.want ?? row.store
      Object.assign(row, {
        number: row.number + 1,
        store,
        phase: 'open',
        want: null,
        switcher: null,
        identity: opening.identity,
        held: row.reason === 'operator' && store === 'postgres',
        attempt: opening.attempt,
        healthyMs: opening.healthyMs,
        openedAt: this.#server.now(),
        quarantineUntil: this.#server.now() + opening.quarantineMs,
      })
      this.#witness.opened(row.number, store, opening.early)
      return true
    })
  }

  async leave(life: string, participants: readonly Participant[]): Promise<void> {
    const reclaimed = await collect(participants, this.#server.row.number)
    await this.change('leave', () => {
      this.#reclaim(reclaimed)
      return this.#server.instances.delete(life)
    })
  }

  /** One statement of another kind. */
  change<T>(kind: string, execute: (row: Row) => T, timeoutMs?: number): Promise<T> {
    return this.link.ask<T>(kind, (answer) => answer(execute(this.#server.row)), AWAY, timeoutMs)
  }

  #reclaim({ leases, taken }: Reclaimed): void {
    const { stored } = this.#server
    for (const lease of leases) takeIn(stored, this.#server.now(), lease, this.#off)
    takeInCount(stored, taken)
  }
}

/** What one instance alone knew of the term that ends. */
interface Reclaimed {
  readonly leases: readonly MovedLease[]
  readonly taken: number
}

/** Lets the participants say what they alone know: each puts it into the transaction. */
async function collect(participants: readonly Participant[], number: number): Promise<Reclaimed> {
  const leases: MovedLease[] = []
  let taken = 0
  const tx: Queryable = {
    query: async (what, [first, fence, leftMs] = []) => {
      if (what === 'count') taken = Number(first)
      else leases.push({ name: String(first), fence: Number(fence), leftMs: Number(leftMs) })
      return []
    },
  }
  for (const participant of participants) await participant.reclaim?.(tx, number)
  return { leases, taken }
}

const away = () => new SpillwayError('STORE_UNAVAILABLE', 'PostgreSQL is away')
const AWAY = { refused: away, lost: away }
