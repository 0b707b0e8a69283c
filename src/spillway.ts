import { type Config, defaultInstanceId, readConfig } from './config.js'
import { Appender } from './events/appender.js'
import { Flow, type FlowOptions, type FlowParts } from './events/flow.js'
import { Hints } from './events/hints.js'
import { Live } from './events/live.js'
import { PostgresLog } from './events/postgres.js'
import { checkDurability } from './events/publishing.js'
import { Upkeep } from './events/upkeep.js'
import type { Database } from './postgres/client.js'
import { migrate } from './postgres/migrate.js'
import { openDatabase } from './postgres/open.js'
import { Activity } from './state/activity.js'
import { PostgresStates } from './state/postgres.js'
import type { FlowQuery, FlowSummary } from './state/states.js'
import { checkName, flowTag } from './tenant.js'

export interface SpillwayOptions {
  /** Redis as a URL. Not used by this version: everything runs on PostgreSQL. */
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

/** Batches of events that PostgreSQL takes at once from one process (bench/publish). */
const PARALLEL_APPENDS = 2

/** The running whole, in this process: opened once, closed at the end. */
export class Spillway {
  readonly config: Config
  /** Where everything is kept. */
  readonly mode: 'postgres' | 'embedded'
  readonly instanceId: string
  /** The database, for the parts that are built on this. */
  readonly database: Database
  readonly live: Live
  readonly #parts: FlowParts
  readonly #hints: Hints
  readonly #upkeep: Upkeep
  readonly #activity: Activity
  #closing: Promise<void> | undefined

  private constructor(config: Config, database: Database) {
    const log = new PostgresLog(database)
    this.config = config
    this.database = database
    this.mode = database.kind
    this.instanceId = config.instanceId || defaultInstanceId()
    this.live = new Live(log, { backstopMs: config.backstopMs })
    this.#hints = new Hints(database, this.live)
    const states = new PostgresStates(database)
    this.#activity = new Activity(states)
    this.#upkeep = new Upkeep(log, states, {
      maxEvents: config.retentionEvents,
      maxAgeMs: config.retentionAgeMs,
      flowAgeMs: config.retentionFlowMs,
    })
    const appender = new Appender(log, {
      parallel: Math.min(PARALLEL_APPENDS, database.parallel),
      onStored: (drafts, outcomes) => this.#stored(drafts, outcomes),
    })
    this.#parts = { log, appender, live: this.live, states, limits: config }
  }

  /**
   * Opens the store, brings its schema up to date and starts live delivery.
   * Errors: `CONFIG_INVALID`, `STORE_UNAVAILABLE`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`.
   */
  static async open(options: SpillwayOptions = {}): Promise<Spillway> {
    const { postgres, dataDir, onProgress } = options
    const config: Config = {
      ...readConfig({}),
      ...defined(options.config ?? {}),
      ...defined({ databaseUrl: postgres, dataDir }),
    }
    const database = await openDatabase(config, onProgress)
    try {
      const applied = await migrate(database)
      if (applied.length > 0) onProgress?.(`applied ${applied.length} migrations`)
      const spillway = new Spillway(config, database)
      await spillway.#hints.start()
      spillway.#upkeep.start()
      return spillway
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /** One tenant's part. Errors: `INVALID_NAME`. */
  tenant(name: string): Tenant {
    return new Tenant(checkName('tenant', name), this.#parts)
  }

  /** Finishes what is under way, then closes the store. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#parts.appender.settled()
      await this.#activity.close()
      await this.#upkeep.close()
      this.live.close()
      await this.#hints.close()
      await this.database.close()
    })()
    return this.#closing
  }

  #stored: NonNullable<ConstructorParameters<typeof Appender>[1]['onStored']> = (drafts, outcomes) => {
    // Runs of one flow: a batch holds the events of a flow next to each other.
    for (let from = 0; from < drafts.length; ) {
      const ref = drafts[from] as (typeof drafts)[number]
      let to = from
      const events = []
      for (; drafts[to]?.flow === ref.flow && drafts[to]?.tenant === ref.tenant; to++) {
        const outcome = outcomes[to]
        if (!outcome || !('event' in outcome) || outcome.repeated) continue
        events.push(outcome.event)
        this.#upkeep.stored(ref, outcome)
      }
      const newest = events.at(-1)
      if (newest) {
        this.live.committed(ref, events)
        this.#hints.touched(flowTag(ref))
        this.#activity.published(ref, newest.at)
      }
      from = to
    }
  }
}

/** The scope of everything: a customer of the platform, whose flows no other tenant can see. */
export class Tenant {
  readonly name: string
  readonly #parts: FlowParts

  constructor(name: string, parts: FlowParts) {
    this.name = name
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
