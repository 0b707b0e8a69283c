import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Nemesis } from './nemesis.js'

/** The wall clock of one Node process, which can be set while it runs. */
export interface Clock {
  /** Environment with which the process has to be started. */
  readonly env: Readonly<Record<string, string>>
  /** Shifts it from the true time by so many milliseconds; seen within 200 ms. */
  shift(ms: number): void
}

/** A clock kept in a file of this folder. Rates and monotonic clocks cannot be changed so, nor other programs'. */
export function newClock(folder: string): Clock {
  const file = join(folder, 'clock')
  const shift = (ms: number) => writeFileSync(file, String(ms))
  shift(0)
  const preload = new URL('./shifted-clock.js', import.meta.url).href
  return { env: { SHIFTED_CLOCK: file, NODE_OPTIONS: `--import=${preload}` }, shift }
}

/** The wall clock of one instance jumps, and jumps back. */
export function clockJump(ms: number, pick: () => { name: string; clock: Clock } | undefined): Nemesis {
  let victim: { name: string; clock: Clock } | undefined
  return {
    get name() {
      return `clock of ${victim?.name ?? 'an instance'} off by ${ms} ms`
    },
    begin: async () => {
      victim = pick()
      victim?.clock.shift(ms)
    },
    end: async () => victim?.clock.shift(0),
  }
}
