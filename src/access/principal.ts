import { SpillwayError } from '../errors.js'

/**
 * What a credential may do. `admin` is the right to administer the own tenant, not the sum of the others; `operate`
 * the right to do what all tenants feel.
 */
export const SCOPES = [
  'publish',
  'subscribe',
  'tasks',
  'cache',
  'limits',
  'locks',
  'admin',
  'operate',
] as const

export type Scope = (typeof SCOPES)[number]

/** Who calls: from the credential alone, never from the path. */
export interface Principal {
  readonly tenant: string
  readonly user: string | null
  readonly scopes: ReadonlySet<Scope>
  /** Where the credential is good for some flows only: whether it is for this one. */
  readonly mayRead?: (flow: string) => boolean
}

export const ALL_SCOPES: ReadonlySet<Scope> = new Set(SCOPES)

export function isScope(text: string): text is Scope {
  return SCOPES.some((scope) => scope === text)
}

/** Errors: `INVALID_ARGUMENT` for an unknown scope, or for none at all. */
export function checkScopes(scopes: readonly string[]): Scope[] {
  const known = scopes.filter(isScope)
  const unknown = scopes.find((scope) => !isScope(scope))
  if (unknown !== undefined || known.length === 0) {
    const what = unknown === undefined ? 'There is no scope' : `"${unknown.slice(0, 64)}" is not a scope`
    throw new SpillwayError('INVALID_ARGUMENT', `${what}: name some of ${SCOPES.join(', ')}`)
  }
  return [...new Set(known)]
}

/** Errors: `FORBIDDEN`. */
export function requireScope(principal: Principal, scope: Scope): void {
  if (!principal.scopes.has(scope)) {
    throw new SpillwayError('FORBIDDEN', `This credential has no scope "${scope}"`)
  }
}
