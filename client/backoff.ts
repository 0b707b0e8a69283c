const DEFAULT_BASE_MS = 1000
const LEAST_MS = 100
const MOST_MS = 30_000
/** A server may ask for more patience than our own limit, but not for ever. */
const MOST_ASKED_MS = 300_000

/**
 * How long to wait before attempt `attempt` (1 is the first repeat): the base doubled each time up to 30 s, of
 * which a random part from half to all is taken, so that the readers of a lost server do not return as one.
 * Never sooner than the server asked. `baseMs` is its `retry:`.
 */
export function backoff(
  attempt: number,
  options: { baseMs?: number | undefined; askedMs?: number | undefined; random?: () => number } = {},
): number {
  const base = Math.min(Math.max(options.baseMs ?? DEFAULT_BASE_MS, LEAST_MS), MOST_ASKED_MS)
  const full = Math.min(base * 2 ** Math.min(attempt - 1, 30), Math.max(MOST_MS, base))
  const asked = Math.min(options.askedMs ?? 0, MOST_ASKED_MS)
  const random = (options.random ?? Math.random)()
  // Readers that were all told the same number are spread over a quarter more of it.
  return Math.round(Math.max(full * (0.5 + random / 2), asked * (1 + random / 4)))
}
