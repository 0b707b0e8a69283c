import type { Redis } from 'ioredis'
import { ClusterLink } from './cluster.js'
import { closed, faultOf, misuse, notSent, translate } from './errors.js'
import type { Identity, Link, LinkEvents, Reply } from './link.js'
import { checkCall, checkNames, type Script } from './scripts.js'
import type { RedisSettings } from './settings.js'
import { StandaloneLink } from './standalone.js'
import { type Listener, Subscriber } from './subscriber.js'

export type { Identity, Reply } from './link.js'

export interface RedisHooks extends Partial<LinkEvents> {}

/** One master as `onEachMaster` shows it. */
export interface Master {
  call(command: string, ...args: readonly (string | number)[]): Promise<Reply>
}

/**
 * Commands that would hold up everybody on the shared connection, or change it under the others' feet.
 * A blocking read waits for a subscription instead.
 */
const UNFIT =
  /^(?:auth|bl(?:move|mpop|pop)|brpop(?:lpush)?|bz(?:mpop|popmax|popmin)|discard|exec|hello|monitor|multi|quit|reset|select|s?(?:un)?subscribe|p(?:un)?subscribe|unwatch|wait(?:aof)?|watch)$/

/**
 * One Redis: a server, the master that Sentinels name, or a Cluster. It connects in the background and goes on
 * trying for ever; a call never waits for that. What is called in one turn of the event loop travels together.
 * Order: calls of one turn run in their order, except across servers of a Cluster and around a script's first load.
 * Errors of all calls: `STORE_UNAVAILABLE` (temporary), `INTERNAL`, `CLOSED`; `faultOf` tells what may have happened.
 */
export class RedisClient {
  readonly kind: 'standalone' | 'cluster'
  readonly settings: RedisSettings
  readonly #link: Link
  readonly #subscribers = new Set<Subscriber>()
  readonly #waiting = new Set<() => void>()
  readonly #loading = new Map<string, Promise<void>>()
  #closed = false

  private constructor(settings: RedisSettings, hooks: RedisHooks) {
    this.settings = settings
    const events: LinkEvents = {
      onConnect: (identity) => hooks.onConnect?.(identity) ?? 'use',
      onUsable: (usable) => {
        hooks.onUsable?.(usable)
        if (usable) for (const wake of [...this.#waiting]) wake()
      },
    }
    this.#link =
      settings.address.kind === 'cluster'
        ? new ClusterLink(settings, events)
        : new StandaloneLink(settings, events)
    this.kind = this.#link.kind
  }

  /** Begins to connect and returns at once. */
  static open(settings: RedisSettings, hooks: RedisHooks = {}): RedisClient {
    return new RedisClient(settings, hooks)
  }

  /** Whether a call would be sent now: connected, to whom `onConnect` wants. */
  get usable(): boolean {
    return !this.#closed && this.#link.usable
  }

  /** Who answered at the last connect, whether or not it is used. */
  get identity(): Identity | undefined {
    return this.#link.identity
  }

  /** What operators should mend, though everything works now. */
  get warning(): string | null {
    const { evicts } = this.#link
    if (evicts === '') return null
    return `Redis drops keys when memory is short (maxmemory-policy ${evicts}): flows, locks and limits may be lost; set noeviction`
  }

  /** What scripts publish with: on a Cluster of version 7 messages stay on the server of the channel's slot. */
  get publishCommand(): 'PUBLISH' | 'SPUBLISH' {
    return this.#link.sharded ? 'SPUBLISH' : 'PUBLISH'
  }

  /** Resolves when calls would be sent. Errors: `STORE_UNAVAILABLE` after `withinMs`, with what stands in the way. */
  async ready(withinMs: number): Promise<void> {
    if (this.usable) return
    await new Promise<void>((resolve, reject) => {
      const end = () => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
      }
      const wake = () => {
        end()
        resolve()
      }
      const timer = setTimeout(() => {
        end()
        reject(this.#away())
      }, withinMs)
      this.#waiting.add(wake)
    })
  }

  /** One command. Errors: also `INTERNAL` for one that a shared connection cannot take (blocking, MULTI, SELECT). */
  async call(command: string, ...args: readonly (string | number)[]): Promise<Reply> {
    const name = command.toLowerCase()
    if (UNFIT.test(name) || (name.startsWith('xread') && args.some((arg) => /^block$/i.test(String(arg))))) {
      throw misuse(`${command} does not fit a shared connection`)
    }
    return this.#send(name, args)
  }

  /**
   * A script with its keys and arguments in the order of its names. All keys must share a slot. `on`: whom it is for;
   * anybody else is sent nothing.
   */
  async run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    on?: Identity,
  ): Promise<Reply> {
    checkCall(script, keys, args)
    return this.#runChecked(script, keys, args, on)
  }

  /** As `run`, with keys of any slots: on a Cluster they would lie on different servers, and it refuses. */
  async runAcross(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    on?: Identity,
  ): Promise<Reply> {
    if (this.kind === 'cluster') throw misuse(`${script.name} is run across slots`)
    checkNames(script, keys, args)
    return this.#runChecked(script, keys, args, on)
  }

  async #runChecked(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    on: Identity | undefined,
  ): Promise<Reply> {
    const words = [script.sha, keys.length, ...keys, ...args]
    try {
      return await this.#send('evalsha', words, on)
    } catch (error) {
      if (faultOf(error)?.reply !== 'NOSCRIPT') throw error
    }
    // A restart, a failover or SCRIPT FLUSH: everybody who finds it missing waits for one load.
    await this.#load(script)
    try {
      return await this.#send('evalsha', words, on)
    } catch (error) {
      if (faultOf(error)?.reply !== 'NOSCRIPT') throw error
    }
    // Gone again, or a master that joined meanwhile: the whole text finds whichever server it is.
    return this.#send('eval', [script.lua, ...words.slice(1)], on)
  }

  /** The one subscriber connection of a process; on a Cluster with sharded messages one a master. */
  subscriber(listener: Listener): Subscriber {
    const subscriber = new Subscriber(this.#link, this.settings, listener, (channel, message) =>
      this.#send(this.publishCommand.toLowerCase(), [channel, message]),
    )
    this.#subscribers.add(subscriber)
    return subscriber
  }

  /** Asks every master; there is one unless it is a Cluster. */
  async onEachMaster<T>(ask: (master: Master) => Promise<T>): Promise<T[]> {
    if (!this.usable) throw this.#away()
    return Promise.all(this.#link.masters().map((node) => ask({ call: (...words) => callOn(node, words) })))
  }

  /** Makes the connections anew, so that `onConnect` is asked anew: what it wants has changed. */
  reconnect(): void {
    this.#link.reconnect()
  }

  /** Ends all connections at once; calls in flight fail. The process can exit afterwards. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const subscriber of this.#subscribers) subscriber.close()
    this.#link.close()
  }

  async #send(name: string, args: readonly (string | number)[], on?: Identity): Promise<Reply> {
    if (!this.usable) throw this.#away()
    if (on !== undefined && on !== this.identity) throw notSent('another server answers than it is for')
    try {
      return await this.#link.send(name, args)
    } catch (error) {
      throw translate(error)
    }
  }

  #load(script: Script): Promise<void> {
    const known = this.#loading.get(script.sha)
    if (known) return known
    const load = this.onEachMaster((master) => master.call('script', 'LOAD', script.lua)).then(
      () => undefined,
    )
    this.#loading.set(script.sha, load)
    const over = () => void this.#loading.delete(script.sha)
    load.then(over, over)
    return load
  }

  #away() {
    return this.#closed ? closed() : notSent('not connected', this.#link.problem)
  }
}

async function callOn(node: Redis, [command = '', ...args]: readonly (string | number)[]): Promise<Reply> {
  try {
    // What the driver gives for RESP2 without buffers.
    return (await node.call(String(command).toLowerCase(), args)) as Reply
  } catch (error) {
    throw translate(error)
  }
}
