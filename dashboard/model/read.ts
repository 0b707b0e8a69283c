/** Payloads are whatever their publisher wrote: these take what fits and leave the rest. */

export type Fields = Readonly<Record<string, unknown>>
export type Counts = readonly (readonly [string, number])[]

export function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

export function text(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

export function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function texts(value: unknown): readonly string[] {
  return list(value).flatMap((item) => text(item) ?? [])
}

/** Names with their counts, greatest first. */
export function counts(value: unknown, order: 'greatest first' | 'as written' = 'greatest first'): Counts {
  const found = Object.entries(fields(value)).flatMap(([name, amount]) => {
    const number = count(amount)
    return number === undefined ? [] : [[name, number] as const]
  })
  return order === 'as written' ? found : found.sort((a, b) => b[1] - a[1])
}
