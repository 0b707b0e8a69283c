/** The times of the protocol, in ms. Their proportions are what it rests on: docs/term.md. */
export interface Timing {
  /** Between two beats, ± 20 %. */
  readonly beatMs: number
  /** While a closing is under way. */
  readonly closingBeatMs: number
  /** How long an answer of PostgreSQL is trusted, from before it was asked. */
  readonly trustMs: number
  /** Between two looks at Redis; after a failed one a quarter of it. */
  readonly probeMs: number
  /** How long Redis must answer before its view is `ok`. */
  readonly okMs: number
  /** The longest lease that any store grants. */
  readonly longestLeaseMs: number
  /** A reign on Redis that ends earlier makes the next return wait twice as long. */
  readonly flapMs: number
  /** How long Redis must be well before it reigns again. */
  readonly healthyMs: number
  /** The same at most, after reigns there that were short. */
  readonly longestHealthyMs: number
}

export const TIMING: Timing = {
  beatMs: 500,
  closingBeatMs: 100,
  trustMs: 2000,
  probeMs: 500,
  okMs: 3000,
  longestLeaseMs: 60_000,
  flapMs: 60_000,
  healthyMs: 5000,
  longestHealthyMs: 300_000,
}

/** How much longer a wait on one clock must be that covers a time on another: rates of ± 5 % make 1.105. */
export const DRIFT = 1.12

/** In which an instance may hold a lease after its last beat. */
export function leaseWindow({ longestLeaseMs, trustMs }: Timing): number {
  return longestLeaseMs * 1.2 + 2 * trustMs
}
