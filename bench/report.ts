export interface Claim {
  readonly name: string
  /** The claim itself, in one line. */
  readonly says: string
  run(options: Options): Promise<void>
}

export interface Options {
  readonly quick: boolean
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** Nearest rank. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

/** One contestant of a comparison: a round returns its figure, higher is better. */
export interface Contestant {
  readonly name: string
  round(): Promise<number>
}

/**
 * Runs every contestant once a round, in turn, so that a slow moment of the machine meets all of them; the
 * first round warms up and does not count. Returns the medians in order.
 */
export async function compare(
  contestants: readonly Contestant[],
  { rounds, unit }: { rounds: number; unit: string },
): Promise<number[]> {
  const figures: number[][] = contestants.map(() => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [i, contestant] of contestants.entries()) {
      const figure = await contestant.round()
      if (round > 0) figures[i]?.push(figure)
    }
  }
  const width = Math.max(...contestants.map(({ name }) => name.length))
  const medians = figures.map((values) => median(values))
  for (const [i, { name }] of contestants.entries()) {
    const all = (figures[i] ?? []).map(show).join(' ')
    print(`${name.padEnd(width)}  ${show(medians[i] ?? Number.NaN).padStart(9)} ${unit}   rounds: ${all}`)
  }
  return medians
}

/** Says a ratio and whether it meets its target. */
export function claim(what: string, ratio: number, target: { atLeast: number } | { atMost: number }): void {
  const [word, bound] = 'atLeast' in target ? ['≥', target.atLeast] : ['≤', target.atMost]
  const holds = 'atLeast' in target ? ratio >= bound : ratio <= bound
  print(`${holds ? 'holds ' : 'BROKEN'} ${what}: ${show(ratio)} (target ${word} ${bound})`)
}

export function show(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en')
  return value.toFixed(Math.abs(value) >= 100 ? 0 : 2)
}
