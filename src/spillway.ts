import { type Config, readConfig } from './config.js'
import { Backbone } from './events/backbone.js'
import { Flow, type FlowOptions, type FlowParts } from './events/flow.js'
import { Groups } from './events/groups.js'
import type { Live } from './events/live.js'
import { checkDurability } from './events/publishing.js'
import { Upkeep } from './events/upkeep.js'
import { LockDesk, type LockFigures } from './locks/desk.js'
import { Leader, type LeaderOptions } from './locks/leader.js'
import { Locks } from './locks/tenant-locks.js'
import type { Database } from './postgres/client.js'
import { Activity } from './state/activity.js'
import { PostgresStates } from './state/postgres.js'
import type { FlowQuery, FlowSummary } from './state/states.js'
import { openStores, type Stores } from './stores.js'
import { checkName } from './tenant.js'
import type { TermStatus, TermStep } from './term/controller.js'
import type { StoreName } from './term/term.js'

export interface SpillwayOptions {
  /** Redis as a URL, beside PostgreSQL or the embedded store; nothing: without Redis. */
  readonly redis?: string | undefined
  /** PostgreSQL as a URL; `embedded` or nothing: PGlite in this process. */
  readonly postgres?: string | undefined
  /** Folder of the embedded store; default `./.spillway`. */
  readonly dataDir?: string | undefined
  /** Any option of the table in `config.ts`; what is not given has its default, not the environment's value. */
  readonly config?: Partial<Config> | undefined
  /** Told of the steps of a slow start. */
  readonly onProgress?: ((step: string) => void) | undefined
}

/** The tenant of what concerns all of them. */
const OPERATORS = 'spillway'

/** Which stores there are: both, or one of PostgreSQL's kinds alone. */
export type Mode = 'full' | 'postgres' | 'embedded'

/** Which store reigns, and how every instance sees it. */
export interface TermReport {
  readonly mode: Mode
  readonly number: number
  readonly store: StoreName
  readonly phase: 'open' | 'closing'
  readonly want: StoreName | null
  readonly reason: string | null
  readonly held: boolean
  readonly trusted: boolean
  /** Why this instance does not see Redis well. */
  readonly problem: string | null
  /** Since this reign was opened. */
  readonly open_ms: number
  readonly instances: readonly {
    readonly name: string
    readonly view: string
    readonly matches: boolean
    readonly stopped: number
    readonly age_ms: number
  }[]
}

/** The running whole, in this process: opened once, closed at the end. */
export class Spillway {
  readonly config: Config
  /** Where everything is kept. */
  readonly mode: Mode
  readonly instanceId: string
  /** The database, for the parts that are built on this. */
  readonly database: Database
  readonly live: Live
  readonly #parts: TenantParts
  readonly #leaders = new Set<Leader>()
  readonly #backbone: Backbone
  readonly #upkeep: Upkeep
  readonly #stores: Stores
  readonly #activity: Activity
  #closing: Promise<void> | undefined

  private constructor(config: Config, stores: Stores) {
    const { database, redis } = stores
    this.config = config
    this.database = database
    this.#stores = stores
    this.mode = redis ? 'full' : database.kind
    this.instanceId = stores.instanceId
    const states = new PostgresStates(database)
    const groups = new Groups(database)
    this.#activity = new Activity(states)
    this.#backbone = new Backbone({
      config,
      database,
      term: stores.term,
      redis: redis?.client,
      onStored: (ref, outcome) => this.#upkeep.stored(ref, outcome),
      onActive: (ref, at) => this.#activity.published(ref, at),
    })
    this.#upkeep = new Upkeep(
      { log: this.#backbone.retained, states, groups },
      {
        maxEvents: config.retentionEvents,
        maxAgeMs: config.retentionAgeMs,
        flowAgeMs: config.retentionFlowMs,
      },
    )
    const { log, intake, live } = this.#backbone
    this.live = live
    const { term, instanceId } = stores
    const desk = new LockDesk({ instanceId, term, database, redis: redis?.client })
    this.#parts = { log, appender: intake, live, states, groups, limits: config, desk }
  }

  /**
   * Opens the stores, brings the schema up to date and starts live delivery.
   * Errors: `CONFIG_INVALID`, `STORE_UNAVAILABLE`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`.
   */
  static async open(options: SpillwayOptions = {}): Promise<Spillway> {
    const { redis, postgres, dataDir, onProgress } = options
    const config: Config = {
      ...readConfig({}),
      ...defined(options.config ?? {}),
      ...defined({ redisUrl: redis, databaseUrl: postgres, dataDir }),
    }
    const stores = await openStores(config, onProgress)
    try {
      const spillway = new Spillway(config, stores)
      await spillway.#backbone.start()
      stores.onStep((step) => spillway.#tell(step))
      await stores.begin()
      spillway.#upkeep.start()
      spillway.#parts.desk.start()
      spillway.#activity.start()
      return spillway
    } catch (error) {
      await stores.close()
      throw error
    }
  }

  /** One tenant's part. Errors: `INVALID_NAME`. */
  tenant(name: string): Tenant {
    return new Tenant(checkName('tenant', name), this.#parts)
  }

  /**
   * Stands for election under this name until it is closed: of all instances that do, one leads at a time. Errors:
   * `INVALID_NAME`, `INVALID_ARGUMENT`.
   */
  leader(name: string, options: LeaderOptions = {}): Leader {
    const leader = new Leader(checkName('lock', name), this.tenant(OPERATORS).locks, options)
    this.#leaders.add(leader)
    void leader.ended.then(() => this.#leaders.delete(leader))
    return leader
  }

  /** What this process has done about locks. */
  get lockFigures(): LockFigures {
    return this.#parts.desk.figures
  }

  /** Which store reigns, as this instance sees it, and the whole fleet with it. */
  get term(): TermStatus {
    return this.#stores.status()
  }

  /** The term in the words of the API. */
  termReport(): TermReport {
    const { row, fleet, trusted, problem = null, reign } = this.term
    return {
      mode: this.mode,
      number: row?.number ?? reign?.number ?? 0,
      store: row?.store ?? 'postgres',
      phase: row?.phase ?? 'open',
      want: row?.want ?? null,
      reason: row?.reason ?? null,
      held: row?.held ?? false,
      trusted,
      problem,
      open_ms: Math.round(row?.openMs ?? 0),
      instances: fleet.map(({ name, view, matches, stopped, ageMs }) => ({
        name,
        view,
        matches,
        stopped,
        age_ms: Math.round(ageMs),
      })),
    }
  }

  /** Calls `told` for every step of the term that this instance takes or sees; the answer takes that back. */
  onTermStep(told: (step: TermStep) => void): () => void {
    return this.#stores.onStep(told)
  }

  /** Asks for another store to reign. Errors: `INVALID_ARGUMENT` in a mode that has one store only. */
  turn(store: StoreName, reason: 'operator' | 'drill' = 'operator'): void {
    this.#stores.turn(store, reason)
  }

  /** A turn is an event that operators can follow; whoever sees it first tells of it, the others repeat its key. */
  #tell({ step, number, store, detail }: TermStep): void {
    if ((step !== 'opened' && step !== 'closing') || this.#closing) return
    this.tenant(OPERATORS)
      .flow('term')
      .publish(
        `term_${step}`,
        { number, store, reason: detail },
        { source: 'spillway', key: `${step}-${number}` },
      )
      // PostgreSQL is away for longer than a publish waits: the table of turns has it all the same.
      .catch(() => undefined)
  }

  /** Finishes what is under way, then closes the stores. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.all([...this.#leaders].map((leader) => leader.close()))
      await this.#parts.appender.settled()
      await this.#parts.desk.close()
      await this.#activity.close()
      await this.#upkeep.close()
      await this.#backbone.close()
      await this.#stores.close()
    })()
    return this.#closing
  }
}

/** What a tenant's part is made of; one set for all tenants of a process. */
export interface TenantParts extends FlowParts {
  readonly desk: LockDesk
}

/** The scope of everything: a customer of the platform, whose flows no other tenant can see. */
export class Tenant {
  readonly name: string
  readonly locks: Locks
  readonly #parts: TenantParts

  constructor(name: string, parts: TenantParts) {
    this.name = name
    this.locks = new Locks(name, parts.desk)
    this.#parts = parts
  }

  /** A flow of this tenant; it comes to be with its first event or state. Errors: `INVALID_NAME`, `INVALID_ARGUMENT`. */
  flow(name: string, options: FlowOptions = {}): Flow {
    const ref = { tenant: this.name, flow: checkName('flow', name) }
    return new Flow(ref, checkDurability(options.durability), this.#parts)
  }

  /** The tenant's flows, last active first. Errors: `INVALID_ARGUMENT`. */
  flows(query: FlowQuery = {}): Promise<FlowSummary[]> {
    return this.#parts.states.list(this.name, query)
  }
}

/** Without the names that are given as undefined, which would hide a default. */
function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
