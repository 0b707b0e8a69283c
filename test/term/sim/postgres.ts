import { SpillwayError } from '../../../src/errors.js'
import type { Queryable } from '../../../src/postgres/client.js'
import type { Beat, FleetMember, Opening, TermTable } from '../../../src/term/ports.js'
import type { Reason } from '../../../src/term/states.js'
import type { Participant, StoreName } from '../../../src/term/term.js'
import type { Checker } from './checker.js'
import type { Off } from './guards.js'
import { Link, type Server, thaw } from './link.js'
import type { Host, World } from './world.js'

export interface StoredLease {
  readonly fence: number
  /** By the store's clock. */
  readonly until: number
}

/** A lease on its way from one store to another: what is left of it, because clocks differ. */
export interface MovedLease {
  readonly name: string
  readonly fence: number
  readonly leftMs: number
}

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
  readonly leases = new Map<string, StoredLease>()
  grants = 0
  /** Grows with every crash: a transaction that was not committed is gone. */
  epoch = 0
  /** How long a commit may take. */
  commitMs = 3
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

  /** Takes in a lease from elsewhere, unless a higher fence is known here. */
  take({ name, fence, leftMs }: MovedLease): void {
    const known = this.leases.get(name)
    const until = this.now() + leftMs
    if (!known || known.fence < fence) this.leases.set(name, { fence, until })
    else if (known.fence === fence) this.leases.set(name, { fence, until: Math.max(known.until, until) })
  }

  snapshot(me: Instance, windowMs: number): Beat {
    const now = this.now()
    const { openedAt, quarantineUntil, ...row } = this.row
    const fleet: FleetMember[] = []
    for (const one of [...this.instances.values(), me]) {
      if (one.life === me.life && one !== me) continue
      const { beatAt, ...member } = one
      if (one === me || now - beatAt < windowMs) fleet.push({ ...member, ageMs: now - beatAt })
    }
    return { row: { ...row, openMs: now - openedAt, quarantineMs: quarantineUntil - now }, fleet }
  }
}

/** PostgreSQL, as one instance reaches it. */
export class SimTable implements TermTable {
  readonly link: Link
  readonly #server: SimPostgres
  readonly #world: World
  readonly #checker: Checker
  readonly #off: Off

  constructor(host: Host, server: SimPostgres, checker: Checker, off: Off) {
    // What a beat has.
    this.link = new Link(host, server, 1500)
    this.#server = server
    this.#world = host.world
    this.#checker = checker
    this.#off = off
  }

  async beat(me: Omit<FleetMember, 'stopped' | 'ageMs'>, windowMs: number): Promise<Beat> {
    const server = this.#server
    const told = await this.link.ask<Beat>((answer) => {
      const { epoch } = server
      const beatAt = server.now()
      const stopped = () => server.instances.get(me.life)?.stopped ?? 0
      // What a statement sees is from its beginning; what it wrote is seen from its commit on.
      const beat = server.snapshot({ ...me, stopped: stopped(), beatAt }, windowMs)
      this.#checker.begun(me.life)
      const usual = this.#world.between(0.2, server.commitMs)
      this.#world.in(server.slow?.life === me.life ? server.slow.ms : usual, () => {
        if (server.epoch !== epoch) return
        server.instances.set(me.life, { ...me, stopped: stopped(), beatAt })
        for (const [life, one] of server.instances) {
          if (one.beatAt < server.now() - 10 * windowMs) server.instances.delete(life)
        }
        answer(beat)
      })
    }, AWAY)
    this.#checker.beaten(me.life, told)
    return told
  }

  close(number: number, want: StoreName, life: string, reason: Reason): Promise<boolean> {
    this.#checker.closes(life, reason)
    return this.change((row) => {
      if (row.number !== number || row.phase !== 'open') return false
      Object.assign(row, { phase: 'closing', want, switcher: life, reason })
      return true
    })
  }

  takeOver(number: number, from: string | null, life: string): Promise<boolean> {
    return this.change((row) => {
      const mine = row.switcher === from || this.#off.has('take-over by compare-and-set')
      if (row.number !== number || row.phase !== 'closing' || !mine) return false
      row.switcher = life
      return true
    })
  }

  turnBack(number: number, life: string): Promise<boolean> {
    return this.change((row) => {
      if (row.number !== number || row.phase !== 'closing' || row.switcher !== life) return false
      row.want = 'postgres'
      return true
    })
  }

  async stop(number: number, life: string, participants: readonly Participant[]): Promise<boolean> {
    const leases = await collect(participants, number)
    return this.change((row) => {
      for (const lease of leases) this.#server.take(lease)
      const member = this.#server.instances.get(life)
      if (row.number !== number || row.phase !== 'closing' || !member) return false
      this.#server.instances.set(life, { ...member, stopped: number })
      return true
    })
  }

  open(number: number, life: string, opening: Opening): Promise<boolean> {
    return this.change((row) => {
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
      this.#checker.opened(row.number, store, opening.early)
      return true
    })
  }

  async leave(life: string, participants: readonly Participant[]): Promise<void> {
    const leases = await collect(participants, this.#server.row.number)
    await this.change(() => {
      for (const lease of leases) this.#server.take(lease)
      return this.#server.instances.delete(life)
    })
  }

  /** One statement of another kind. */
  change<T>(execute: (row: Row) => T, timeoutMs?: number): Promise<T> {
    return this.link.ask<T>((answer) => answer(execute(this.#server.row)), AWAY, timeoutMs)
  }
}

/** Lets the participants say what they alone know: each puts leases into the transaction. */
async function collect(participants: readonly Participant[], number: number): Promise<MovedLease[]> {
  const leases: MovedLease[] = []
  const tx: Queryable = {
    query: async (_text, [name, fence, leftMs] = []) => {
      leases.push({ name: String(name), fence: Number(fence), leftMs: Number(leftMs) })
      return []
    },
  }
  for (const participant of participants) await participant.reclaim?.(tx, number)
  return leases
}

const away = () => new SpillwayError('STORE_UNAVAILABLE', 'PostgreSQL is away')
const AWAY = { refused: away, lost: away }
