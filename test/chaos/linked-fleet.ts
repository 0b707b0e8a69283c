import { eventually } from '../support/eventually.js'
import { type Clock, newClock } from '../support/faults/clock.js'
import { type Link, startLink } from '../support/faults/link.js'
import type { Linked } from '../support/faults/link-faults.js'
import type { Nemesis } from '../support/faults/nemesis.js'
import type { Stoppable } from '../support/faults/process-faults.js'
import { type SpillwayServer, spawnServer } from '../support/server.js'
import type { Addresses } from './world.js'

/** One instance: its own ways to the stores, which outlive its process. */
interface Instance {
  readonly name: string
  readonly redis: Link
  readonly postgres: Link
  readonly clock: Clock
  server: SpillwayServer | undefined
}

export type StoreOfLink = 'redis' | 'postgres'

/** What an instance says of the term. */
interface TermReport {
  readonly number: number
  readonly store: StoreOfLink
  readonly phase: string
  readonly trusted: boolean
  readonly instances: readonly { readonly view: string; readonly matches: boolean; readonly age_ms: number }[]
}

export interface LinkedFleetOptions {
  readonly names: readonly string[]
  readonly urls: Readonly<Record<StoreOfLink, string>>
  readonly env: Readonly<Record<string, string>>
  /** What runs, as for spawnServer; default: the server itself. */
  readonly script?: readonly string[]
  readonly say: (line: string) => void
  /** A folder of an instance's own. */
  readonly folder: (name: string) => string
  /** Chooses the victims; the same numbers choose the same ones. */
  readonly random: () => number
}

/** Server processes on the same two stores, each through links of its own. */
export class LinkedFleet implements Addresses {
  readonly #options: LinkedFleetOptions
  readonly #instances: Instance[] = []
  #waiting: (() => void)[] = []
  #crash: (error: Error) => void = () => undefined
  /** Rejects if a server ends that was not killed. */
  readonly crashed = new Promise<never>((_, reject) => {
    this.#crash = reject
  })

  private constructor(options: LinkedFleetOptions) {
    this.#options = options
    this.crashed.catch(() => undefined)
  }

  static async start(options: LinkedFleetOptions): Promise<LinkedFleet> {
    const fleet = new LinkedFleet(options)
    for (const name of options.names) {
      const [redis, postgres] = await Promise.all([
        startLink(options.urls.redis),
        startLink(options.urls.postgres),
      ])
      const clock = newClock(options.folder(name))
      fleet.#instances.push({ name, redis, postgres, clock, server: undefined })
    }
    await Promise.all(fleet.#instances.map((instance) => fleet.#start(instance)))
    return fleet
  }

  pick(): string | undefined {
    const urls = this.#urls()
    return urls[Math.floor(Math.random() * urls.length)]
  }

  async some(): Promise<void> {
    if (this.#urls().length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** An instance's way to a store, for a fault. */
  link(store: StoreOfLink): Linked {
    const { name, [store]: link } = this.#victim()
    return { name, link }
  }

  /** All ways to a store. */
  links(store: StoreOfLink): readonly Link[] {
    return this.#instances.map((instance) => instance[store])
  }

  /** An instance's wall clock, for a fault. */
  clock(): { name: string; clock: Clock } {
    return this.#victim()
  }

  /** An instance's process, for a fault. */
  process(): Stoppable | undefined {
    const { name, server } = this.#victim()
    return server && { name, pid: server.pid }
  }

  /** SIGKILL to one instance, which is started again. */
  killed(): Nemesis {
    let victim: Instance | undefined
    return {
      get name() {
        return `${victim?.name ?? 'an instance'} killed`
      },
      begin: async () => {
        victim = this.#victim()
        const { server } = victim
        victim.server = undefined
        await server?.kill9()
      },
      end: async () => {
        if (victim) await this.#start(victim)
      },
    }
  }

  /** The number of the reign on this store that every instance trusts, once they all see every store well. */
  async agreed(store: StoreOfLink): Promise<number | undefined> {
    const reports = await Promise.all(this.#instances.map((instance) => reportOf(instance)))
    const [first] = reports
    const agree = reports.every(
      (report) =>
        report?.number === first?.number &&
        report?.store === store &&
        report.phase === 'open' &&
        report.trusted &&
        report.instances.every(({ view, matches, age_ms }) => age_ms > 2000 || (view === 'ok' && matches)),
    )
    return agree ? first?.number : undefined
  }

  /** What each instance says of the term. */
  async reports(): Promise<string> {
    const reports = await Promise.all(this.#instances.map((instance) => reportOf(instance)))
    return this.#instances.map(({ name }, i) => `${name}: ${JSON.stringify(reports[i])}`).join('\n')
  }

  /** What the servers have logged last. */
  said(): string {
    return this.#instances.map(({ name, server }) => `--- ${name}\n${server?.said() ?? ''}`).join('\n')
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#instances.map(async (instance) => {
        const { server, redis, postgres } = instance
        instance.server = undefined
        await server?.kill9()
        await Promise.all([redis.close(), postgres.close()])
      }),
    )
  }

  async #start(instance: Instance): Promise<void> {
    const env = {
      ...this.#options.env,
      ...instance.clock.env,
      SPILLWAY_INSTANCE_ID: instance.name,
      REDIS_URL: instance.redis.url,
      DATABASE_URL: instance.postgres.url,
    }
    // Whoever supervises servers starts one again that ended because PostgreSQL was away.
    const server = await eventually(() => spawnServer(env, this.#options.script), {
      withinMs: 60_000,
      everyMs: 500,
      what: 'the start',
    })
    instance.server = server
    this.#options.say(`${clock()} ${instance.name} is at ${server.url}`)
    server.exited.then(() => {
      if (instance.server === server)
        this.#crash(new Error(`${instance.name} ended by itself: ${server.said()}`))
    })
    for (const go of this.#waiting.splice(0)) go()
  }

  #victim(): Instance {
    const victim = this.#instances[Math.floor(this.#options.random() * this.#instances.length)]
    if (!victim) throw new Error('a fleet needs instances')
    return victim
  }

  #urls(): string[] {
    return this.#instances.flatMap(({ server }) => server?.url ?? [])
  }
}

/** The time of day, as the turns have it. */
export function clock(): string {
  return new Date().toISOString().slice(11, 23)
}

async function reportOf({ server }: Instance): Promise<TermReport | undefined> {
  if (!server) return undefined
  try {
    const answer = await fetch(`${server.url}/v1/admin/term`, { signal: AbortSignal.timeout(2000) })
    return answer.ok ? ((await answer.json()) as TermReport) : undefined
  } catch {
    return undefined
  }
}
