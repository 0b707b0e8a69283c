import { timingSafeEqual } from 'node:crypto'
import type { Config } from '../config.js'
import { SpillwayError } from '../errors.js'
import { checkName } from '../tenant.js'
import { JwtAccess } from './jwt.js'
import type { Keys } from './keys.js'
import { ALL_SCOPES, type Principal } from './principal.js'
import type { Tickets } from './tickets.js'

/** What a request brings along to say who calls. */
export interface Credentials {
  /** The Authorization header. */
  readonly authorization: string | undefined
  /** The tenant that the caller names: heeded where no credential says it. */
  readonly tenant: string | undefined
  /** Only where a stream is opened. */
  readonly ticket: string | undefined
}

export interface AccessParts {
  readonly keys: Keys
  readonly tickets: Tickets
  /** Lets the command line of this machine in, as anybody; it is written beside the data. */
  readonly operatorToken: string | undefined
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i
const DEFAULT_TENANT = 'default'

/** Says who calls, by the configured kind of credential. */
export class Access {
  readonly #parts: AccessParts
  readonly #verify: ((token: string) => Promise<Principal | undefined>) | undefined

  /** Errors: `CONFIG_INVALID`. */
  constructor(config: Config, parts: AccessParts) {
    this.#parts = parts
    if (config.auth === 'keys') this.#verify = (token) => parts.keys.verify(token)
    if (config.auth === 'jwt') {
      const jwt = new JwtAccess(config)
      this.#verify = (token) => jwt.verify(token)
    }
  }

  /** Errors: `UNAUTHENTICATED`, `FORBIDDEN`, `INVALID_NAME`; temporary: `STORE_UNAVAILABLE`, `KEYS_UNAVAILABLE`. */
  async identify({ authorization, tenant, ticket }: Credentials): Promise<Principal> {
    if (ticket !== undefined) return this.#byTicket(ticket, tenant)
    if (!this.#verify) return everything(tenant)
    if (authorization === undefined)
      throw new SpillwayError('UNAUTHENTICATED', 'An Authorization header is needed: Bearer …')
    const token = BEARER.exec(authorization)?.[1]
    if (token === undefined)
      throw new SpillwayError('UNAUTHENTICATED', 'The Authorization header is not of the form: Bearer …')
    if (this.#isOperator(token)) return everything(tenant)
    const principal = await this.#verify(token)
    if (!principal)
      throw new SpillwayError('UNAUTHENTICATED', 'The key is not valid: it is unknown or was revoked')
    return principal
  }

  async #byTicket(ticket: string, tenant: string | undefined): Promise<Principal> {
    const principal = await this.#parts.tickets.verify(ticket)
    if (!this.#verify && tenant !== undefined && tenant !== principal.tenant) {
      throw new SpillwayError('FORBIDDEN', 'The ticket is of another tenant')
    }
    return principal
  }

  #isOperator(token: string): boolean {
    const { operatorToken } = this.#parts
    if (operatorToken === undefined || token.length !== operatorToken.length) return false
    return timingSafeEqual(Buffer.from(token), Buffer.from(operatorToken))
  }
}

function everything(tenant: string | undefined): Principal {
  return { tenant: checkName('tenant', tenant ?? DEFAULT_TENANT), user: null, scopes: ALL_SCOPES }
}
