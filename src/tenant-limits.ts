import { SpillwayError } from './errors.js'
import { checkName } from './tenant.js'

/** What a single tenant may have instead of what all have. Shape: bytes of a request's body; open streams an instance. */
export interface TenantLimits {
  readonly maxBodyBytes?: number
  readonly maxConnections?: number
}

/** Limits by the tenant's name. */
export type TenantLimitTable = Readonly<Record<string, TenantLimits>>

/** Between what each limit may lie, for one tenant as for all. */
export const LIMIT_RANGES = {
  maxBodyBytes: { min: 1024, max: 268_435_456 },
  maxConnections: { min: 1, max: 10_000_000 },
} as const satisfies Record<keyof TenantLimits, { min: number; max: number }>

const MAX_TENANTS = 10_000

/** Reads the table from JSON; no text: an empty one. Errors: `CONFIG_INVALID`, one line that begins with `name`. */
export function parseTenantLimits(name: string, text: string): TenantLimitTable {
  if (text === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // Not in the parser's words: they repeat the text, which may have lines.
    throw new SpillwayError('CONFIG_INVALID', `${name} is not JSON`, { cause: error })
  }
  return checkTenantLimits(name, value)
}

/** Answers the value if it is such a table. Errors: `CONFIG_INVALID`, one line that begins with `name`. */
export function checkTenantLimits(name: string, value: unknown): TenantLimitTable {
  const refuse = (what: string, cause?: unknown) =>
    new SpillwayError('CONFIG_INVALID', `${name} ${what}`, { cause })
  if (!isRecord(value)) throw refuse('must be an object of tenants, such as {"acme":{"maxConnections":50}}')
  const tenants = Object.entries(value)
  if (tenants.length > MAX_TENANTS) throw refuse(`has limits of more than ${MAX_TENANTS} tenants`)
  const known = Object.keys(LIMIT_RANGES).join(', ')
  for (const [tenant, limits] of tenants) {
    const shown = JSON.stringify(tenant.slice(0, 128))
    try {
      checkName('tenant', tenant)
    } catch (error) {
      throw refuse(`names ${shown}, which cannot be a tenant`, error)
    }
    if (!isRecord(limits)) throw refuse(`must have an object of limits for ${shown}: ${known}`)
    for (const [limit, most] of Object.entries(limits)) {
      if (!isLimit(limit))
        throw refuse(`has ${JSON.stringify(limit.slice(0, 64))} for ${shown}; limits are ${known}`)
      const { min, max } = LIMIT_RANGES[limit]
      if (typeof most !== 'number' || !Number.isInteger(most) || most < min || most > max) {
        throw refuse(`must have a whole number from ${min} to ${max} as ${limit} of ${shown}`)
      }
    }
  }
  return value as TenantLimitTable
}

function isLimit(name: string): name is keyof TenantLimits {
  return Object.hasOwn(LIMIT_RANGES, name)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
