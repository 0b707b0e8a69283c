import type { StoredEvent } from './log.js'

/**
 * Reads what the Redis scripts say on a flow's channel: `term first at count`, then type, source and payload of
 * each event, a line each. Returns undefined for anything else, and where a payload has line breaks: a hint to look.
 */
export function readAnnouncement(text: string): StoredEvent[] | undefined {
  const lines = text.split('\n')
  const [term, first, at, count] = (lines[0] ?? '').split(' ').map(Number)
  if (!isCount(term) || !isCount(first) || !isCount(at) || !isCount(count)) return undefined
  // A line break within a payload makes more lines than the count says.
  if (lines.length !== 1 + 3 * count) return undefined
  const events: StoredEvent[] = []
  for (let i = 1; i < lines.length; i += 3) {
    const [type, source, payload] = [lines[i], lines[i + 1], lines[i + 2]]
    if (type === undefined || source === undefined || payload === undefined) return undefined
    events.push({ term, seq: first + events.length, type, source, payload, at })
  }
  return events
}

function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value > 0
}
