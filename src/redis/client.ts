import { Cluster, type Redis } from 'ioredis'
import { connect, type RedisSettings } from './connect.js'
import { judge, RedisFault, translate } from './errors.js'
import type { Script } from './scripts.js'

/** Who answers: run ids of the masters, sorted and joined. Another process, or an empty one, is another identity. */
export type Identity = string

export interface RedisOptions extends RedisSettings {
  /**
   * Asked at every (re)connect before anything else is sent; what is not admitted is not used. What makes it
   * necessary: a server that lost its data looks like one that never had any.
   */
  readonly admits?: (identity: Identity) => boolean
  /** Told when commands can be sent, and when they no longer can. */
  readonly onUsable?: (usable: boolean) => void
}

const PROBE = 'spillway:probe:'

type Reply = unknown
type Command = (...args: (string | number)[]) => Promise<Reply>

/**
 * One Redis: a server, whatever a Sentinel names as master, or a Cluster. What is called in one turn of the event
 * loop travels together. Errors of all calls: `STORE_UNAVAILABLE` (temporary), `INTERNAL`; `faultOf` tells more.
 */
export class RedisClient {
  readonly kind: 'standalone' | 'cluster'
  readonly #connection: Redis | Cluster
  readonly #options: RedisOptions
  readonly #known = new Set<string>()
  #identity: Identity | undefined
  #usable = false
  #closed = false
  #lastError: unknown

  private constructor(options: RedisOptions) {
    this.#options = options
    this.#connection = connect(options, 'commands')
    this.kind = this.#connection instanceof Cluster ? 'cluster' : 'standalone'
    this.#connection.on('error', (error) => {
      this.#lastError = error
    })
    this.#connection.on('ready', () => void this.#admit())
    this.#connection.on('close', () => this.#turn(false))
    // A Cluster reconnects node by node.
    this.#connection.on('+node', () => void this.#admit())
  }

  /** Begins to connect and goes on doing so for ever; never waits. */
  static open(options: RedisOptions): RedisClient {
    const client = new RedisClient(options)
    client.#connection.connect().catch((error: unknown) => {
      client.#lastError = error
    })
    return client
  }

  /** Whether commands can be sent: connected, and its identity admitted. */
  get usable(): boolean {
    return this.#usable
  }

  /** As of the last (re)connect. */
  get identity(): Identity | undefined {
    return this.#identity
  }

  /** What announces an event: within a Cluster a message stays on the node that owns the flow. */
  get publishCommand(): 'PUBLISH' | 'SPUBLISH' {
    return this.kind === 'cluster' ? 'SPUBLISH' : 'PUBLISH'
  }

  /** Resolves when commands can be sent. Errors: `STORE_UNAVAILABLE` after so many ms. */
  async ready(withinMs: number): Promise<void> {
    const end = performance.now() + withinMs
    while (!this.#usable) {
      if (performance.now() > end) throw translate(this.#away())
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** One command. On a Cluster its first argument must be its key. */
  async call(command: string, ...args: (string | number)[]): Promise<Reply> {
    return this.#send(() => {
      const method = Reflect.get(this.#connection, command.toLowerCase()) as Command
      return method.apply(this.#connection, args)
    })
  }

  /** A script with its keys and arguments in the order of its names. */
  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<Reply> {
    if (!this.#known.has(script.name)) {
      this.#connection.defineCommand(script.name, { numberOfKeys: script.keys.length, lua: script.lua })
      this.#known.add(script.name)
    }
    return this.#send(() => {
      const method = Reflect.get(this.#connection, script.name) as Command
      return method.call(this.#connection, ...keys, ...args)
    })
  }

  /** Asks every master; one on a standalone server. */
  async onEachMaster<T>(ask: (master: Redis) => Promise<T>): Promise<T[]> {
    const masters =
      this.#connection instanceof Cluster ? this.#connection.nodes('master') : [this.#connection]
    if (masters.length === 0) throw translate(this.#away())
    try {
      return await Promise.all(masters.map(ask))
    } catch (error) {
      throw translate(error)
    }
  }

  /** Asks the server who it is now. */
  async identify(): Promise<Identity> {
    const found = await this.onEachMaster(async (master) => {
      const info = await master.info()
      const [role, runId] = [/^role:(\w+)/m.exec(info)?.[1], /^run_id:(\w+)/m.exec(info)?.[1]]
      if (role !== 'master') throw new RedisFault(`READONLY the server is a ${role}`, 'down', false)
      return runId ?? ''
    })
    return found.sort().join('+')
  }

  /** Asks anew whether the server that answers may be used. */
  reconsider(): void {
    if (this.#connection.status === 'ready') void this.#admit()
  }

  /**
   * Writes something and reads these keys, whether or not the server is admitted: what a probe sees of it. Memory
   * that has run out, or a disk, shows in writes alone.
   */
  async probe(keys: readonly string[]): Promise<(string | null)[]> {
    try {
      const written = keys
        .slice(0, 1)
        .map((first) => this.#connection.set(PROBE + first.slice(first.indexOf('{')), '1', 'PX', 60_000))
      const [values] = await Promise.all([
        Promise.all(keys.map((one) => this.#connection.get(one))),
        ...written,
      ])
      return values
    } catch (error) {
      throw translate(error)
    }
  }

  close(): void {
    this.#closed = true
    this.#turn(false)
    this.#connection.disconnect()
  }

  async #send(go: () => Promise<Reply>): Promise<Reply> {
    if (!this.#usable) throw translate(this.#away())
    try {
      return await go()
    } catch (error) {
      throw translate(error)
    }
  }

  #away(): RedisFault {
    const why = this.#lastError instanceof Error ? `: ${judge(this.#lastError).message}` : ''
    return new RedisFault(this.#closed ? 'the client is closed' : `not connected${why}`, 'down', false)
  }

  async #admit(): Promise<void> {
    try {
      const identity = await this.identify()
      this.#identity = identity
      if (this.#closed) return
      const admitted = this.#options.admits?.(identity) ?? true
      if (!admitted) this.#lastError = new Error('another server answers than the one that was used')
      this.#turn(admitted)
    } catch (error) {
      this.#lastError = error
      this.#turn(false)
      // A replica or a server that cannot say who it is: ask anew, at the pace of a reconnect.
      if (!this.#closed)
        setTimeout(() => this.#connection.status === 'ready' && void this.#admit(), 200).unref()
    }
  }

  #turn(usable: boolean): void {
    if (this.#usable === usable) return
    this.#usable = usable
    this.#options.onUsable?.(usable)
  }
}
