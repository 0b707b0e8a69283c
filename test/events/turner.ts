import { type Instance, reigns } from '../term/fleet.js'

/** Turns a fleet from Redis to PostgreSQL and back, as an operator would, again and again. */
export class Turner {
  readonly #fleet: readonly Instance[]
  readonly #quiet: (() => Promise<void>)[] = []
  #next: (() => void)[] = []
  #stopped = false
  readonly #over: Promise<void>

  /** The first turn has been made when this resolves. */
  static async start(fleet: readonly Instance[]): Promise<Turner> {
    const number = await reigns(fleet, 'redis')
    const turner = new Turner(fleet, number)
    await turner.next()
    return turner
  }

  private constructor(fleet: readonly Instance[], number: number) {
    this.#fleet = fleet
    this.#over = this.#turn(number)
    this.#over.catch(() => undefined)
  }

  /** Resolves after the next turn. Errors: why the fleet does not turn any more. */
  next(): Promise<void> {
    return Promise.race([new Promise<void>((resolve) => this.#next.push(resolve)), this.#over])
  }

  /** Runs `body` while Redis reigns and nobody turns. */
  quietly<T>(body: () => Promise<T>): Promise<T> {
    const done = new Promise<T>((resolve, reject) => {
      this.#quiet.push(() => body().then(resolve, reject))
    })
    return Promise.race([done, this.#over.then(() => done)])
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#over
  }

  async #turn(from: number): Promise<void> {
    for (let number = from; !this.#stopped; ) {
      await Promise.all(this.#quiet.splice(0).map((body) => body()))
      for (const store of ['postgres', 'redis'] as const) {
        this.#fleet[number % this.#fleet.length]?.controller.ask(store, 'operator')
        number = await reigns(this.#fleet, store, number)
        for (const told of this.#next.splice(0)) told()
      }
    }
  }
}
