import { randomInt } from 'node:crypto'
import type { RedisClient } from '../redis/client.js'
import { key } from '../redis/keys.js'
import type { BaseStore } from './cursor-bases.js'

const DAY_MS = 86_400_000
/**
 * Numbers by chance and not by counting: a Redis that has lost its counter would give the number of a base that it has
 * lost to another one, whose places readers would then take for theirs. 48 bits take seven bytes of a cursor.
 */
const IDS = 2 ** 48 - 1

export class RedisBases implements BaseStore {
  readonly #redis: RedisClient

  constructor(redis: RedisClient) {
    this.#redis = redis
  }

  async insert(tenant: string, places: string): Promise<number> {
    for (;;) {
      const id = randomInt(1, IDS)
      const base = key('stream:cursor', { tenant, cursor: String(id) })
      if ((await this.#redis.call('set', base, places, 'NX', 'PX', DAY_MS)) === 'OK') return id
    }
  }

  async load(tenant: string, id: number): Promise<string | undefined> {
    const places = await this.#redis.call(
      'getex',
      key('stream:cursor', { tenant, cursor: String(id) }),
      'PX',
      DAY_MS,
    )
    return typeof places === 'string' ? places : undefined
  }
}
