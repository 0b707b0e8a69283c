import type { Config } from '../config.js'

/** What one caller may ask of this instance. */
export interface Allowance {
  /** Bytes of a request's body. */
  readonly maxBodyBytes: number
  /** Streams open at once. */
  readonly maxConnections: number
}

type Limits = Pick<Config, 'maxBodyBytes' | 'maxConnectionsPerTenant' | 'tenantLimits'>

/** What this tenant may ask; undefined: somebody of whom nothing is known yet, who gets no tenant's larger limit. */
export function allowanceOf(limits: Limits, tenant: string | undefined): Allowance {
  const { maxBodyBytes, maxConnectionsPerTenant: maxConnections, tenantLimits } = limits
  const own = tenant !== undefined && Object.hasOwn(tenantLimits, tenant) ? tenantLimits[tenant] : {}
  return { maxBodyBytes, maxConnections, ...own }
}
