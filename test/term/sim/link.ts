import type { Host, World } from './world.js'

/** A server as the network sees it. */
export interface Server {
  /** Whether a process listens there: else a request is refused. */
  up: boolean
  /** What arrives while it is frozen is carried out when it thaws, however long nobody waits any more. */
  frozen: boolean
  readonly thawed: (() => void)[]
}

/** The way from one process to one server, with what can happen on it. */
export class Link {
  readonly #world: World
  readonly #host: Host
  readonly #server: Server
  readonly #timeoutMs: number
  cut = false
  lossy = false
  slowMs = 0

  constructor(host: Host, server: Server, timeoutMs: number) {
    this.#world = host.world
    this.#host = host
    this.#server = server
    this.#timeoutMs = timeoutMs
  }

  heal(): void {
    this.cut = false
    this.lossy = false
    this.slowMs = 0
  }

  /**
   * Asks the server. `execute` happens there, if the request arrives; it answers at once or later. `refused` and
   * `lost` make the error of a request that surely was not, or may have been carried out.
   */
  ask<T>(
    execute: (answer: (value: T) => void, fail: (error: Error) => void) => void,
    errors: { refused(): Error; lost(): Error },
    timeoutMs = this.#timeoutMs,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#host.after(timeoutMs, () => reject(errors.lost()))
      const back = (settle: () => void) =>
        this.#travel(() =>
          this.#host.happen(() => {
            cancel()
            settle()
          }),
        )
      const arrive = () => {
        if (!this.#server.up) return back(() => reject(errors.refused()))
        if (this.#server.frozen) {
          this.#server.thawed.push(arrive)
          return
        }
        execute(
          (value) => back(() => resolve(value)),
          (error) => back(() => reject(error)),
        )
      }
      this.#travel(arrive)
    })
  }

  #travel(arrive: () => void): void {
    const lost = () => this.cut || (this.lossy && this.#world.chance(0.3))
    if (lost()) return
    const usual = this.#world.between(0.5, 4)
    // Some packets are repeated by the network after a while.
    const late = this.#world.chance(0.01) ? this.#world.between(0, 600) : 0
    this.#world.in(usual + late + this.slowMs * this.#world.random(), () => {
      if (!this.cut) arrive()
    })
  }
}

export function thaw(server: Server): void {
  server.frozen = false
  for (const arrive of server.thawed.splice(0)) arrive()
}
