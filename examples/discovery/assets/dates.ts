const MONTHS = [
  ['jan', 'januar', 'january'],
  ['feb', 'februar', 'february'],
  ['mar', 'mär', 'märz', 'mrz', 'march'],
  ['apr', 'april'],
  ['may', 'mai'],
  ['jun', 'juni', 'june'],
  ['jul', 'juli', 'july'],
  ['aug', 'august'],
  ['sep', 'sept', 'september'],
  ['oct', 'okt', 'oktober', 'october'],
  ['nov', 'november'],
  ['dec', 'dez', 'dezember', 'december'],
]

/**
 * A date as an ISO day, or null. `2024-05-01`, `01.05.2024`, `05/01/2024`, `1 May 2024`, `May 2024`, `2024-05`, `2024`.
 * With slashes the month comes first unless that is impossible. A month or a year alone is its last day.
 */
export function readDate(text: string): string | null {
  const value = text.trim()
  const iso = /^(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2})(?:[T ].*)?)?$/.exec(value)
  if (iso !== null) return day(iso[1], iso[2], iso[3])
  const dotted = /^(\d{1,2})[.-](\d{1,2})[.-](\d{4}|\d{2})$/.exec(value)
  if (dotted !== null) return day(century(dotted[3]), dotted[2], dotted[1])
  const slashed = /^(\d{1,2})\/(\d{1,2})\/(\d{4}|\d{2})$/.exec(value)
  if (slashed !== null) {
    const dayFirst = Number(slashed[1]) > 12
    return day(century(slashed[3]), dayFirst ? slashed[2] : slashed[1], dayFirst ? slashed[1] : slashed[2])
  }
  const named = /^(?:(\d{1,2})\.?[ -])?(\p{L}{3,9})\.?(?:[ -](\d{1,2}),)?[ -](\d{4}|\d{2})$/u.exec(value)
  if (named !== null) {
    const month = MONTHS.findIndex((names) => names.includes(named[2]?.toLowerCase() ?? '')) + 1
    return month === 0 ? null : day(century(named[4]), String(month), named[1] ?? named[3])
  }
  const monthFirst = /^(\d{1,2})[/.](\d{4})$/.exec(value)
  if (monthFirst !== null) return day(monthFirst[2], monthFirst[1], undefined)
  return /^(19|20)\d{2}$/.test(value) ? day(value, '12', '31') : null
}

function century(year: string | undefined): string {
  if (year === undefined || year.length === 4) return year ?? ''
  return `${Number(year) >= 70 ? '19' : '20'}${year}`
}

function day(
  year: string | undefined,
  month: string | undefined,
  dayOfMonth: string | undefined,
): string | null {
  const [y, m] = [Number(year), Number(month)]
  if (!(y >= 1970 && y <= 2199 && m >= 1 && m <= 12)) return null
  const last = new Date(Date.UTC(y, m, 0)).getUTCDate()
  const d = dayOfMonth === undefined ? last : Number(dayOfMonth)
  if (!(d >= 1 && d <= last)) return null
  return `${y}-${String(m).padStart(2, '0')}-${String(d).padStart(2, '0')}`
}
