const NUMBER = new Intl.NumberFormat('en')

export const number = (value: number): string => NUMBER.format(Math.round(value))

/** `1 row`, `2 rows`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${number(count)} ${count === 1 ? noun : nouns}`
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** How long ago, in words short enough for a list. */
export function ago(timestamp: string, now: number): string {
  const ms = now - Date.parse(timestamp)
  if (Number.isNaN(ms)) return ''
  if (ms < 5000) return 'now'
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s ago`
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ago`
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ago`
  return new Date(timestamp).toLocaleDateString('en', { day: 'numeric', month: 'short', year: 'numeric' })
}

export function clock(timestamp: string): string {
  const date = new Date(timestamp)
  if (Number.isNaN(date.getTime())) return timestamp
  const two = (value: number, width = 2) => String(value).padStart(width, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`
}

const SHORT = /\b(ip|os|cpu|id|gb|url)\b/gi

/** `data_import` as a person would write it: `Data import`; `ip_address`: `IP address`. */
export function words(name: string): string {
  const text = name
    .replace(/[_-]+/g, ' ')
    .trim()
    .replace(SHORT, (short) => short.toUpperCase())
  return text.charAt(0).toUpperCase() + text.slice(1)
}
