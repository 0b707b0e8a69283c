import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SpillwayError } from '../errors.js'
import type { Database } from '../postgres/client.js'
import { checkName } from '../tenant.js'
import { checkScopes, type Principal, type Scope } from './principal.js'

export interface ApiKey {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly created_at: string
  readonly revoked_at: string | null
}

/** An API key with its text, which is shown once and never stored. */
export interface NewApiKey extends ApiKey {
  readonly key: string
}

interface KeyRow {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly hash: string
  readonly created_at: Date
  readonly revoked_at: Date | null
}

interface Known {
  readonly tenant: string
  readonly scopes: ReadonlySet<Scope>
  readonly hash: Buffer
  readonly until: number
}

/** How long a key that was found good is believed without a look: the bound on a revocation's delay. */
const BELIEVED_MS = 3000
const KEPT_KEYS = 10_000
const NAME_BYTES = 256
const KEY = /^spw_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
const COLUMNS = 'id, tenant, name, scopes, hash, created_at, revoked_at'

/** A tenant's API keys. */
export interface Keys {
  /** Errors: `INVALID_NAME`, `INVALID_ARGUMENT` (scopes). */
  create(wanted: NewKeyOrder): Promise<NewApiKey>
  /** The tenant's keys, newest first, revoked ones too; 1000 at most. */
  list(tenant: string): Promise<ApiKey[]>
  /** Ends a key for good: at once here, within seconds on other instances. Errors: `NOT_FOUND`. */
  revoke(tenant: string, id: string): Promise<ApiKey>
  /** Whose key it is; undefined for anything that is not a valid key. */
  verify(text: string): Promise<Principal | undefined>
}

export interface NewKeyOrder {
  readonly tenant: string
  readonly scopes: readonly string[]
  readonly name?: string | undefined
}

/**
 * Where PostgreSQL is not there to keep them: a Redis that comes back with older data would honour again what was
 * revoked. Errors: `NO_DURABLE_STORE` from every method.
 */
export class NoKeys implements Keys {
  create(): Promise<never> {
    return Promise.reject(noKeys())
  }

  list(): Promise<never> {
    return Promise.reject(noKeys())
  }

  revoke(): Promise<never> {
    return Promise.reject(noKeys())
  }

  verify(): Promise<never> {
    return Promise.reject(noKeys())
  }
}

function noKeys(): SpillwayError {
  return new SpillwayError(
    'NO_DURABLE_STORE',
    'API keys are kept in PostgreSQL, and there is none: set DATABASE_URL, or use SPILLWAY_AUTH=jwt',
  )
}

/** Bearer keys of the form `spw_<id>_<secret>`, of which only a hash is stored. */
export class ApiKeys implements Keys {
  readonly #db: Database
  readonly #known = new Map<string, Known>()
  readonly #asked = new Map<string, Promise<Known | undefined>>()

  constructor(db: Database) {
    this.#db = db
  }

  async create(wanted: NewKeyOrder): Promise<NewApiKey> {
    const tenant = checkName('tenant', wanted.tenant)
    const scopes = checkScopes(wanted.scopes)
    const name = checkLabel(wanted.name ?? '')
    const id = randomBytes(8).toString('hex')
    const secret = randomBytes(32).toString('base64url')
    const rows = await this.#db.scoped([tenant], (tx) =>
      tx.query<KeyRow>(
        `INSERT INTO spillway.api_keys (id, tenant, name, scopes, hash) VALUES ($1, $2, $3, $4, $5) RETURNING ${COLUMNS}`,
        [id, tenant, name, scopes, hashOf(secret).toString('hex')],
      ),
    )
    return { ...(rows.map(toApiKey)[0] as ApiKey), key: `spw_${id}_${secret}` }
  }

  async list(tenant: string): Promise<ApiKey[]> {
    const rows = await this.#db.scoped([checkName('tenant', tenant)], (tx) =>
      tx.query<KeyRow>(
        `SELECT ${COLUMNS} FROM spillway.api_keys WHERE tenant = $1 ORDER BY created_at DESC, id LIMIT 1000`,
        [tenant],
      ),
    )
    return rows.map(toApiKey)
  }

  async revoke(tenant: string, id: string): Promise<ApiKey> {
    const rows = await this.#db.scoped([checkName('tenant', tenant)], (tx) =>
      tx.query<KeyRow>(
        `UPDATE spillway.api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
         WHERE tenant = $1 AND id = $2 RETURNING ${COLUMNS}`,
        [tenant, checkName('key', id)],
      ),
    )
    this.#known.delete(id)
    const [key] = rows.map(toApiKey)
    if (!key) throw new SpillwayError('NOT_FOUND', 'This tenant has no key with that id')
    return key
  }

  async verify(text: string): Promise<Principal | undefined> {
    const [, id, secret] = KEY.exec(text) ?? []
    if (id === undefined || secret === undefined) return undefined
    const known = this.#believed(id) ?? (await this.#look(id))
    if (!known || !timingSafeEqual(known.hash, hashOf(secret))) return undefined
    return { tenant: known.tenant, user: null, scopes: known.scopes }
  }

  #believed(id: string): Known | undefined {
    const known = this.#known.get(id)
    if (known && known.until > performance.now()) return known
    this.#known.delete(id)
    return undefined
  }

  /** One look for all who ask for the same key at once. */
  #look(id: string): Promise<Known | undefined> {
    const asked = this.#asked.get(id)
    if (asked) return asked
    const look = this.#read(id).finally(() => this.#asked.delete(id))
    this.#asked.set(id, look)
    return look
  }

  async #read(id: string): Promise<Known | undefined> {
    // Before the read: what is believed may be as old as the question, never older.
    const until = performance.now() + BELIEVED_MS
    const [row] = await this.#db.scoped('all', (tx) =>
      tx.query<KeyRow>(`SELECT ${COLUMNS} FROM spillway.api_keys WHERE id = $1 AND revoked_at IS NULL`, [id]),
    )
    if (!row) return undefined
    const known = {
      tenant: row.tenant,
      scopes: new Set(checkScopes(row.scopes)),
      hash: Buffer.from(row.hash, 'hex'),
      until,
    }
    const [oldest] = this.#known.keys()
    if (this.#known.size >= KEPT_KEYS && oldest !== undefined) this.#known.delete(oldest)
    this.#known.set(id, known)
    return known
  }
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function checkLabel(name: string): string {
  if (name === '') return name
  if (Buffer.byteLength(name) > NAME_BYTES) {
    throw new SpillwayError('INVALID_NAME', `name is longer than ${NAME_BYTES} bytes`)
  }
  return checkName('key', name)
}

function toApiKey(row: KeyRow): ApiKey {
  return {
    id: row.id,
    tenant: row.tenant,
    name: row.name,
    scopes: checkScopes(row.scopes),
    created_at: new Date(row.created_at).toISOString(),
    revoked_at: row.revoked_at === null ? null : new Date(row.revoked_at).toISOString(),
  }
}
