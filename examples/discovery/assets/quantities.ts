/** A number as people write it: `1.024`, `1,5`, `1 024,5`; null if it is none. */
export function readNumber(text: string): number | null {
  const compact = text.replace(/[\s'\u00a0\u202f]/g, '')
  if (!/^\d+([.,]\d+)*$/.test(compact)) return null
  const marks = compact.replace(/\d/g, '')
  const grouped = marks.length > 1 && new Set(marks).size === 1
  const last = Math.max(compact.lastIndexOf('.'), compact.lastIndexOf(','))
  // One mark with three digits behind it is a thousands mark, unless it begins with 0: "1.024" but "0.512".
  const thousands = grouped || (marks.length === 1 && compact.length - last === 4 && !compact.startsWith('0'))
  const whole = (thousands || last < 0 ? compact : compact.slice(0, last)).replace(/[.,]/g, '')
  const fraction = thousands || last < 0 ? '' : compact.slice(last + 1)
  const value = Number(`${whole}.${fraction === '' ? '0' : fraction}`)
  return Number.isFinite(value) ? value : null
}

const UNIT_IN_GB: Readonly<Record<string, number>> = {
  k: 1 / 1024 / 1024,
  m: 1 / 1024,
  g: 1,
  t: 1024,
  p: 1024 * 1024,
}

/**
 * An amount of memory or storage in GB. Without a unit it is GB, or MB above `mbAbove`: nobody has a server with
 * 16,384 GB of memory, but many lists have 16384.
 */
export function readGigabytes(text: string, headerUnit: string | null, mbAbove: number): number | null {
  const match =
    /^\s*([\d.,\s'\u00a0\u202f]+?)\s*([kmgtp])?i?(b|bytes?)?(\s*(ram|memory|disk|ssd|hdd))?\s*$/i.exec(text)
  const number = match?.[1] === undefined ? null : readNumber(match[1])
  if (number === null) return null
  const unit = match?.[2]?.toLowerCase() ?? headerUnit ?? (number > mbAbove ? 'm' : 'g')
  const gigabytes = number * (UNIT_IN_GB[unit] ?? 1)
  return Math.round(gigabytes * 100) / 100
}

/** The unit that a header names in words or brackets: `Memory (MB)` is `m`. */
export function headerUnit(header: string): string | null {
  return (
    /(?:^|[^a-z])([kmgt])i?b(?:[^a-z]|$)/i
      .exec(header.replace(/([a-z])([A-Z])/g, '$1 $2'))?.[1]
      ?.toLowerCase() ?? null
  )
}

/** Processor cores: `8`, `8 vCPU`, `2 x 4`, `4 Kerne`. */
export function readCores(text: string): number | null {
  const match =
    /^\s*(\d{1,4})(?:\s*[x*×]\s*(\d{1,4}))?(?:[.,]0+)?\s*(v?cpus?|v?cores?|kerne|sockets?)?\.?\s*$/i.exec(
      text,
    )
  if (match === null) return null
  const cores = Number(match[1]) * Number(match[2] ?? 1)
  return cores > 0 && cores <= 16_384 ? cores : null
}
