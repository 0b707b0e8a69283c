import type { Socket } from 'node:net'

/** How bytes pass one way of a link; changed while they flow. */
export interface Weather {
  /** False: nothing passes, and nothing is refused. */
  passes: boolean
  delayMs: number
  /** Infinity: as fast as the sockets are. */
  bytesPerSecond: number
}

export function fairWeather(): Weather {
  return { passes: true, delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY }
}

/** More than this in the air stops the sender, as a full window does. */
const IN_THE_AIR_BYTES = 1_048_576

/** Carries the bytes of one socket to another, in order, as the weather allows; an end is carried like a byte. */
export class Pump {
  readonly #from: Socket
  readonly #to: Socket
  readonly #weather: Weather
  readonly #passed: (chunk: Buffer) => boolean
  #air: { chunk: Buffer | undefined; due: number }[] = []
  #inTheAir = 0
  /** When the line is free again after what was sent last. */
  #free = 0
  #timer: NodeJS.Timeout | undefined

  /** `passed` is told of every stretch just before it goes out; false keeps it from going. */
  constructor(from: Socket, to: Socket, weather: Weather, passed: (chunk: Buffer) => boolean) {
    this.#from = from
    this.#to = to
    this.#weather = weather
    this.#passed = passed
    from.on('data', (chunk: Buffer) => this.#take(chunk))
    from.on('end', () => this.#take(undefined))
    to.on('drain', () => this.look())
    this.look()
  }

  /** To be called when the weather has changed. */
  look(): void {
    clearTimeout(this.#timer)
    this.#send()
    const full = this.#inTheAir + this.#to.writableLength > IN_THE_AIR_BYTES
    if (full || !this.#weather.passes) this.#from.pause()
    else this.#from.resume()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#air = []
  }

  #take(chunk: Buffer | undefined): void {
    this.#air.push({ chunk, due: performance.now() + this.#weather.delayMs })
    this.#inTheAir += chunk?.length ?? 0
    this.look()
  }

  #send(): void {
    for (;;) {
      const next = this.#air[0]
      if (next === undefined || !this.#weather.passes) return
      const now = performance.now()
      const due = Math.max(next.due, this.#free)
      if (due > now) {
        this.#timer = setTimeout(() => this.look(), due - now)
        return
      }
      this.#air.shift()
      if (next.chunk === undefined) {
        this.#to.end()
        return
      }
      const { bytesPerSecond } = this.#weather
      // A fiftieth of a second at a time, so that a throttled line drips instead of bursting.
      const stretch = next.chunk.subarray(0, Math.max(1, Math.floor(bytesPerSecond / 50)))
      const rest = next.chunk.subarray(stretch.length)
      if (rest.length > 0) this.#air.unshift({ chunk: rest, due: next.due })
      this.#inTheAir -= stretch.length
      if (Number.isFinite(bytesPerSecond)) this.#free = now + (stretch.length / bytesPerSecond) * 1000
      if (this.#passed(stretch) && this.#to.writable) this.#to.write(stretch)
    }
  }
}
