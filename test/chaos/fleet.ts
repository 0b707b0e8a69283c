import { type SpillwayServer, spawnServer } from '../support/server.js'
import type { Addresses } from './world.js'

/** Server processes on one store, of which the chaos kills one after the other. */
export class Fleet implements Addresses {
  readonly #env: Readonly<Record<string, string>>
  readonly #random: () => number
  readonly #servers: SpillwayServer[] = []
  #waiting: (() => void)[] = []
  #crash: (error: Error) => void = () => undefined
  /** Rejects if a server ends that was not killed. */
  readonly crashed = new Promise<never>((_, reject) => {
    this.#crash = reject
  })

  constructor(env: Readonly<Record<string, string>>, random: () => number) {
    this.#env = env
    this.#random = random
    this.crashed.catch(() => undefined)
  }

  async start(): Promise<void> {
    const server = await spawnServer(this.#env)
    this.#servers.push(server)
    server.exited.then(() => {
      if (this.#servers.includes(server)) this.#crash(new Error(`a server ended by itself: ${server.said()}`))
    })
    for (const go of this.#waiting.splice(0)) go()
  }

  /** SIGKILL to one of them. */
  async kill9(): Promise<void> {
    const [victim] = this.#servers.splice(Math.floor(this.#random() * this.#servers.length), 1)
    await victim?.kill9()
  }

  pick(): string | undefined {
    return this.#servers[Math.floor(Math.random() * this.#servers.length)]?.url
  }

  async some(): Promise<void> {
    if (this.#servers.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  async stop(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.kill9()))
  }
}
