import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { SpillwayError } from '../errors.js'
import { checkName } from '../tenant.js'
import type { Principal } from './principal.js'
import type { Secrets } from './secrets.js'

/** Life of a ticket, in ms, where its caller names none, and at most. */
export const TICKET_TTL_MS = { fallback: 15 * 60_000, max: 24 * 3_600_000 } as const
/** Flows of one ticket and of one stream at most. */
export const TICKET_FLOWS = 100

const FLOW_HASH_BYTES = 16
const MAC_BYTES = 32
const SECRET = 'tickets'

export interface TicketOrder {
  readonly tenant: string
  readonly user: string | null
  readonly flows: readonly string[]
  readonly ttlMs?: number | undefined
}

export interface Ticket {
  readonly ticket: string
  readonly expiresAt: string
}

/** What a ticket says, as JSON within it: tenant, user, expiry in ms since the epoch. */
type Claims = readonly [tenant: string, user: string | null, expires: number]

/**
 * Short-lived rights to read the flows they name, signed with a secret that all instances share, so any
 * instance honours them without a look. Shape: `<claims>.<16-byte hash of each flow>.<HMAC>`, each base64url:
 * hashes keep 100 long names within a URL, and the names out of logs.
 */
export class Tickets {
  readonly #secrets: Secrets
  #secret: Promise<Buffer> | undefined
  /** What tickets were signed with before that; they are good until they end. */
  #former: Buffer | undefined

  constructor(secrets: Secrets) {
    this.#secrets = secrets
  }

  /** Reads the secret, so that tickets are honoured also while the store is away later. */
  async prepare(): Promise<void> {
    await this.#key()
  }

  /** The store may have lost the secret: gives it back, or takes what another instance has given meanwhile. */
  async renew(): Promise<void> {
    if (!this.#secrets.mayBeLost) return
    const before = await this.#key()
    const now = await this.#secrets.shared(SECRET, before)
    if (now.equals(before)) return
    this.#former = before
    this.#secret = Promise.resolve(now)
  }

  /** Errors: `INVALID_NAME`, `INVALID_ARGUMENT`. */
  async issue(order: TicketOrder): Promise<Ticket> {
    const { ttlMs = TICKET_TTL_MS.fallback, tenant, user } = order
    if (!Number.isInteger(ttlMs) || ttlMs < 1 || ttlMs > TICKET_TTL_MS.max) {
      throw new SpillwayError(
        'INVALID_ARGUMENT',
        `ttlMs must be a whole number from 1 to ${TICKET_TTL_MS.max}`,
      )
    }
    const flows = [...new Set(order.flows.map((flow) => checkName('flow', flow)))]
    if (flows.length === 0 || flows.length > TICKET_FLOWS) {
      throw new SpillwayError(
        'INVALID_ARGUMENT',
        `A ticket is for 1 to ${TICKET_FLOWS} flows, not ${flows.length}`,
      )
    }
    const expires = Date.now() + ttlMs
    const claims: Claims = [tenant, user, expires]
    const signed = [
      Buffer.from(JSON.stringify(claims)).toString('base64url'),
      Buffer.concat(flows.map((flow) => flowHash(tenant, flow))).toString('base64url'),
    ].join('.')
    const ticket = `${signed}.${macOf(await this.#key(), signed).toString('base64url')}`
    return { ticket, expiresAt: new Date(expires).toISOString() }
  }

  /** Who the ticket lets in, and to which flows. Errors: `UNAUTHENTICATED`. */
  async verify(ticket: string): Promise<Principal> {
    const [claimsText = '', flowsText = '', macText = '', ...rest] = ticket.split('.')
    const mac = Buffer.from(macText, 'base64url')
    // The text too: base64url has several spellings of the same bytes.
    const exact = mac.toString('base64url') === macText && rest.length === 0 && mac.length === MAC_BYTES
    if (!exact || !(await this.#signed(`${claimsText}.${flowsText}`, mac))) {
      throw new SpillwayError('UNAUTHENTICATED', 'The ticket is not one of ours')
    }
    const claims: Claims = JSON.parse(Buffer.from(claimsText, 'base64url').toString())
    const [tenant, user, expires] = claims
    if (Date.now() >= expires)
      throw new SpillwayError('UNAUTHENTICATED', 'The ticket has expired: get a new one')
    const hashes = Buffer.from(flowsText, 'base64url')
    const known = new Set<string>()
    for (let at = 0; at < hashes.length; at += FLOW_HASH_BYTES) {
      known.add(hashes.subarray(at, at + FLOW_HASH_BYTES).toString('hex'))
    }
    return {
      tenant,
      user,
      scopes: new Set(['subscribe'] as const),
      mayRead: (flow) => known.has(flowHash(tenant, flow).toString('hex')),
    }
  }

  async #signed(text: string, mac: Buffer): Promise<boolean> {
    const secrets = [await this.#key(), this.#former]
    return secrets.some((secret) => secret !== undefined && timingSafeEqual(mac, macOf(secret, text)))
  }

  async #key(): Promise<Buffer> {
    this.#secret ??= this.#secrets.shared(SECRET).catch((error: unknown) => {
      this.#secret = undefined
      throw error
    })
    return this.#secret
  }
}

function flowHash(tenant: string, flow: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([tenant, flow]))
    .digest()
    .subarray(0, FLOW_HASH_BYTES)
}

function macOf(secret: Buffer, text: string): Buffer {
  return createHmac('sha256', secret).update(text).digest()
}
