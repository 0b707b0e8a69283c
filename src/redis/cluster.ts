import type { Cluster, Redis } from 'ioredis'
import { backoff, clusterConnection, connectionTo } from './connection.js'
import type { ServerInfo } from './connector.js'
import { isUntrusted, misuse, reasonOf } from './errors.js'
import type { Identity, Link, LinkEvents, Reply } from './link.js'
import type { RedisSettings } from './settings.js'
import { slotOf } from './slots.js'

/** The masters of a Cluster. It is used when the whole set of them was admitted. */
export class ClusterLink implements Link {
  readonly kind = 'cluster'
  identity: Identity | undefined
  problem: unknown
  readonly #settings: RedisSettings
  readonly #events: LinkEvents
  readonly #cluster: Cluster
  readonly #servers = new Map<string, ServerInfo>()
  readonly #moved = new Set<() => void>()
  #admitted = false
  #again: NodeJS.Timeout | undefined
  /** A server that was refused for its certificate since all were admitted. */
  #untrusted: unknown
  #closed = false

  constructor(settings: RedisSettings, events: LinkEvents) {
    this.#settings = settings
    this.#events = events
    this.#cluster = clusterConnection(
      settings,
      (server, node) => this.#admitsOne(server, node),
      (error) => {
        if (isUntrusted(error)) this.#untrusted = error
      },
    )
    this.#cluster
      .on('error', (error) => {
        this.problem = reasonOf(error, this.#untrusted)
      })
      .on('node error', (error) => {
        this.problem = reasonOf(error, this.#untrusted)
      })
      .on('ready', () => void this.#admitAll(0))
      .on('refresh', () => this.#tellMoved())
      .on('close', () => this.#turn(false))
    this.#cluster.connect().catch((error: unknown) => {
      this.problem = reasonOf(this.problem ?? error, this.#untrusted)
    })
  }

  get usable(): boolean {
    return this.#admitted && this.#cluster.status === 'ready'
  }

  get sharded(): boolean {
    const servers = [...this.#servers.values()]
    return servers.length > 0 && servers.every(({ version }) => Number.parseInt(version, 10) >= 7)
  }

  async send(command: string, args: readonly (string | number)[]): Promise<Reply> {
    const once = async () =>
      // What the driver gives for RESP2 without buffers.
      (await this.#cluster.call(command, [...args])) as Reply
    try {
      return await once()
    } catch (error) {
      // The driver follows a moved slot, but not for some of the commands that travelled together.
      if (!(error instanceof Error && /^(?:MOVED|TRYAGAIN) /.test(error.message))) throw error
      await this.#refresh()
      return once()
    }
  }

  get evicts(): string {
    return [...this.#servers.values()].map(({ evicts }) => evicts).find((policy) => policy !== '') ?? ''
  }

  masters(): readonly Redis[] {
    return this.#cluster.nodes('master')
  }

  placeOf(channel: string): string | undefined {
    // Whether messages are sharded is known when all servers are.
    if (!this.#admitted) return undefined
    return this.#cluster.slots[this.sharded ? slotOf(channel) : 0]?.[0]
  }

  ear(place: string): Redis {
    const colon = place.lastIndexOf(':')
    const at = { host: place.slice(0, colon), port: Number(place.slice(colon + 1)) }
    return connectionTo(this.#settings, 'subscriber', ({ role }) => role === 'master', at)
  }

  onMoved(moved: () => void): () => void {
    this.#moved.add(moved)
    return () => void this.#moved.delete(moved)
  }

  reconnect(): void {
    this.#turn(false)
    for (const node of this.masters()) if (node.status === 'ready') node.disconnect(true)
    if (this.#cluster.status === 'ready') void this.#admitAll(0)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#again)
    this.#cluster.disconnect()
  }

  /** At the connect to one node. Before all were seen once there is nobody to use it. */
  #admitsOne(server: ServerInfo, node: string): boolean {
    if (server.runId === '' || server.role !== 'master') {
      this.problem =
        server.runId === ''
          ? misuse(`${node} does not say who it is: the user needs the right to INFO`)
          : new Error(`${node} is a ${server.role}`)
      return false
    }
    const before = this.#servers.get(node)
    this.#servers.set(node, server)
    if (!this.#admitted || before?.runId === server.runId) return true
    return this.#admits()
  }

  /** Looks up anew which server owns which slot; what fails shows in the command that follows. */
  #refresh(): Promise<void> {
    return new Promise((resolve) => this.#cluster.refreshSlotsCache(() => resolve()))
  }

  async #admitAll(attempt: number): Promise<void> {
    try {
      // Each is connected by its first command, which is how its identity gets known.
      await Promise.all(this.masters().map((node) => node.ping()))
      const known = this.masters().every((node) => this.#servers.has(placeOf(node)))
      if (this.#closed || !known) throw new Error('not all masters of the Cluster are known')
      if (!this.#admits()) throw this.problem
      this.problem = undefined
      this.#untrusted = undefined
      this.#turn(true)
    } catch (error) {
      this.problem = error
      if (this.#closed) return
      this.#again = setTimeout(() => void this.#admitAll(attempt + 1), backoff(this.#settings, attempt))
    }
  }

  #admits(): boolean {
    const present = new Set(this.masters().map(placeOf))
    const ids = [...this.#servers].filter(([node]) => present.has(node)).map(([, { runId }]) => runId)
    this.identity = ids.sort().join(',')
    if (this.#events.onConnect(this.identity) === 'use') return true
    this.problem = new Error('other servers answer than those that are in use')
    return false
  }

  #tellMoved(): void {
    for (const moved of this.#moved) moved()
  }

  #turn(admitted: boolean): void {
    if (this.#admitted === admitted) return
    this.#admitted = admitted
    if (admitted) this.#tellMoved()
    this.#events.onUsable(admitted)
  }
}

function placeOf({ options }: Redis): string {
  return `${options.host}:${options.port}`
}
