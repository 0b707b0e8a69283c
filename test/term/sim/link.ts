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
  /** Requests arrive, answers do not: what was committed is not known to be. */
  deaf = false
  lossy = false
  slowMs = 0
  /** Some requests are held up so long, far beyond the time in which anybody waits for their answer. */
  lateMs = 0
  /** Requests of these kinds, and answers to them (`answer to …`), are kept on the way until they are let go. */
  readonly kept = new Set<string>()
  readonly #waiting: (() => void)[] = []

  constructor(host: Host, server: Server, timeoutMs: number) {
    this.#world = host.world
    this.#host = host
    this.#server = server
    this.#timeoutMs = timeoutMs
  }

  heal(): void {
    this.cut = false
    this.deaf = false
    this.lossy = false
    this.slowMs = 0
    this.lateMs = 0
  }

  /** What was kept goes on its way, whether or not its sender still lives. */
  letGo(): void {
    this.kept.clear()
    for (const go of this.#waiting.splice(0)) go()
  }

  /** Whether something is kept on the way. */
  get keeps(): boolean {
    return this.#waiting.length > 0
  }

  /**
   * Asks the server. `execute` happens there, if the request arrives; it answers at once or later. `refused` and
   * `lost` make the error of a request that surely was not, or may have been carried out.
   */
  ask<T>(
    kind: string,
    execute: (answer: (value: T) => void, fail: (error: Error) => void) => void,
    errors: { refused(): Error; lost(): Error },
    timeoutMs = this.#timeoutMs,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#host.after(timeoutMs, () => reject(errors.lost()))
      const back = (settle: () => void) => {
        const arrived = () =>
          this.#host.happen(() => {
            cancel()
            settle()
          })
        if (this.kept.has(`answer to ${kind}`)) this.#waiting.push(arrived)
        else if (!this.deaf) this.#travel(arrived)
      }
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
      if (this.kept.has(kind)) this.#waiting.push(arrive)
      else if (this.lateMs === 0 || this.#world.chance(0.8)) this.#travel(arrive)
      else this.#world.in(this.#world.between(0, this.lateMs), () => this.#travel(arrive))
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
