import { randomBytes } from 'node:crypto'
import { SpillwayError } from '../errors.js'
import type { Database } from '../postgres/client.js'
import type { RedisClient } from '../redis/client.js'
import { key } from '../redis/keys.js'

/** Secrets of 32 bytes that the first instance makes and all read. Errors: `STORE_UNAVAILABLE` (temporary). */
export interface Secrets {
  /** `mine` becomes the one that all have, if there is none. */
  shared(name: string, mine?: Buffer): Promise<Buffer>
  /** Whether it can be gone while an instance that has read it lives. */
  readonly mayBeLost: boolean
}

export class PostgresSecrets implements Secrets {
  readonly mayBeLost = false
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async shared(name: string, mine = randomBytes(SECRET_BYTES)): Promise<Buffer> {
    const rows = await this.#db.scoped('all', async (tx) => {
      await tx.query(
        'INSERT INTO spillway.secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING',
        [name, mine.toString('base64url')],
      )
      return tx.query<{ value: string }>('SELECT value FROM spillway.secrets WHERE name = $1', [name])
    })
    return found(name, rows[0]?.value)
  }
}

/** Where Redis is the only store: what it has lost, whoever has read it before gives back. */
export class RedisSecrets implements Secrets {
  readonly mayBeLost = true
  readonly #redis: RedisClient

  constructor(redis: RedisClient) {
    this.#redis = redis
  }

  async shared(name: string, mine = randomBytes(SECRET_BYTES)): Promise<Buffer> {
    const secret = key('spillway:secret', { name })
    await this.#redis.call('set', secret, mine.toString('base64url'), 'NX')
    return found(name, await this.#redis.call('get', secret))
  }
}

const SECRET_BYTES = 32

function found(name: string, value: unknown): Buffer {
  if (typeof value !== 'string')
    throw new SpillwayError('INTERNAL', `The secret "${name}" was neither made nor found`)
  return Buffer.from(value, 'base64url')
}
