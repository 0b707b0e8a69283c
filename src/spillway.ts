import { type Config, readConfig } from './config.js'
import { SpillwayError } from './errors.js'
import { Flow, type FlowOptions, type FlowParts } from './events/flow.js'
import type { Live } from './events/live.js'
import { checkDurability } from './events/publishing.js'
import type { Keeping } from './keeping.js'
import type { Limiter } from './limits/limiter.js'
import { LimitScopes, type RateLimits } from './limits/rate-limits.js'
import type { LockDesk, LockFigures } from './locks/desk.js'
import { Leader, type LeaderOptions } from './locks/leader.js'
import { Locks } from './locks/tenant-locks.js'
import type { Database } from './postgres/client.js'
import type { FlowQuery, FlowSummary } from './state/states.js'
import { type Mode, openStores, type Stores } from './stores.js'
import { checkName } from './tenant.js'
import type { TermStatus, TermStep } from './term/controller.js'
import type { StoreName } from './term/term.js'

export interface SpillwayOptions {
  /** Redis as a URL: beside PostgreSQL, or as the only store; nothing: without Redis. */
  readonly redis?: string | undefined
  /** PostgreSQL as a URL; `embedded`: PGlite in this process, as nothing is where there is no Redis either. */
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
  /** What should be mended about Redis, though it works now. */
  readonly warning: string | null
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

const kept = new WeakMap<Spillway, Keeping>()

/** Where each capability has its things, for the parts of this package that stand on a Spillway. */
export function keepingOf(spillway: Spillway): Keeping {
  const keeping = kept.get(spillway)
  if (!keeping) throw new SpillwayError('INTERNAL', 'A Spillway keeps nothing')
  return keeping
}

/** The running whole, in this process: opened once, closed at the end. */
export class Spillway {
  readonly config: Config
  /** Where everything is kept. */
  readonly mode: Mode
  readonly instanceId: string
  readonly live: Live
  /** Limits of the platform itself, over all tenants. */
  readonly limits: RateLimits
  readonly #parts: TenantParts
  readonly #leaders = new Set<Leader>()
  readonly #stores: Stores
  #closing: Promise<void> | undefined

  private constructor(config: Config, stores: Stores) {
    this.config = config
    this.#stores = stores
    this.mode = stores.mode
    this.instanceId = stores.instanceId
    kept.set(this, stores.keeping)
    const { states, groups, backbone, desk, limiter } = stores.keeping
    const rates = new LimitScopes(limiter)
    this.limits = rates.of(OPERATORS)
    const { log, intake, live } = backbone
    this.live = live
    this.#parts = { log, appender: intake, live, states, groups, limits: config, desk, rates }
  }

  /** The database, for the parts that are built on this. Errors: `NO_DURABLE_STORE` where Redis is the only store. */
  get database(): Database {
    const { database } = this.#stores
    if (database) return database
    throw new SpillwayError('NO_DURABLE_STORE', 'Redis is the only store: DATABASE_URL is not set')
  }

  /** Whether PGlite runs in this process: no other one can open its folder then. */
  get holdsDataDir(): boolean {
    return this.#stores.database?.kind === 'embedded'
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
      await stores.keeping.backbone.start()
      stores.onStep((step) => spillway.#tell(step))
      await stores.begin()
      stores.keeping.upkeep?.start()
      stores.keeping.activity.start()
      stores.keeping.desk.start()
      stores.keeping.limiter.start()
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

  /** Limits that Spillway itself puts on a tenant; their names begin with `spillway.`. Errors: `INVALID_NAME`. */
  ownLimits(tenant: string): RateLimits {
    return this.#parts.rates.own(checkName('tenant', tenant))
  }

  /** What was decided of limits since the start, and by whom. */
  get limitDecisions(): Limiter['decisions'] {
    return this.#stores.keeping.limiter.decisions
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

  /** Whether this instance alone cannot reach the store that reigns: the others go on with it, and serve better. */
  get apart(): boolean {
    const { reign, view } = this.term
    return reign?.store === 'redis' && view === 'down'
  }

  /** The term in the words of the API. */
  termReport(): TermReport {
    const { row, fleet, trusted, problem = null, warning = null, reign } = this.term
    return {
      mode: this.mode,
      number: row?.number ?? reign?.number ?? 0,
      store: row?.store ?? reign?.store ?? 'postgres',
      phase: row?.phase ?? 'open',
      want: row?.want ?? null,
      reason: row?.reason ?? null,
      held: row?.held ?? false,
      trusted,
      problem,
      warning,
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
      // The store is away for longer than a publish waits: on PostgreSQL the table of turns has it all the same.
      .catch(() => undefined)
  }

  /** Finishes what is under way, then closes the stores. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.all([...this.#leaders].map((leader) => leader.close()))
      await this.#parts.appender.settled()
      const { activity, upkeep, backbone, desk, limiter } = this.#stores.keeping
      await desk.close()
      await limiter.close()
      await activity.close()
      await upkeep?.close()
      await backbone.close()
      await this.#stores.close()
    })()
    return this.#closing
  }
}

/** What a tenant's part is made of; one set for all tenants of a process. */
export interface TenantParts extends FlowParts {
  readonly desk: LockDesk
  readonly rates: LimitScopes
}

/** The scope of everything: a customer of the platform, whose flows no other tenant can see. */
export class Tenant {
  readonly name: string
  /** Limits of this tenant. */
  readonly limits: RateLimits
  readonly locks: Locks
  readonly #parts: TenantParts

  constructor(name: string, parts: TenantParts) {
    this.name = name
    this.limits = parts.rates.of(name)
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
