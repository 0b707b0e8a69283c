import type { RedisClient } from '../redis/client.js'
import type { Subscriber } from '../redis/subscriber.js'
import type { Bell } from './bells.js'
import { freedChannel, lockId, lockOf } from './keys.js'
import type { Line } from './line.js'
import type { LockRef } from './locks.js'

/** Channels that stay subscribed without anybody who waits: who waited for a lock will do so again. */
const LINGERING = 256

/** On Redis the script that gives a lock back tells, on a channel beside the lock. */
export class RedisBell implements Bell {
  readonly #redis: RedisClient
  readonly #line: Line
  readonly #watched = new Map<string, LockRef>()
  readonly #lingering = new Map<string, LockRef>()
  /** Made when somebody waits for the first time. */
  #subscriber: Subscriber | undefined

  constructor(redis: RedisClient, line: Line) {
    this.#redis = redis
    this.#line = line
  }

  get works(): boolean {
    return this.#subscriber?.hearing ?? false
  }

  watch(lock: LockRef): void {
    const id = lockId(lock)
    if (this.#watched.has(id)) return
    this.#watched.set(id, lock)
    if (this.#lingering.delete(id)) return
    this.#subscriber ??= this.#redis.subscriber({
      heard: (channel, claim) => this.#heard(channel, claim),
      hearing: (works) => works && this.#line.ringAll(),
    })
    void this.#subscriber.subscribe(freedChannel(lock)).then((entered) => {
      // What was told between the ask and now was not heard.
      if (entered) this.#line.ringFor(lock)
    })
  }

  unwatch(lock: LockRef): void {
    const id = lockId(lock)
    if (!this.#watched.delete(id)) return
    this.#lingering.set(id, lock)
    if (this.#lingering.size <= LINGERING) return
    const [oldest] = this.#lingering
    if (!oldest) return
    this.#lingering.delete(oldest[0])
    this.#subscriber?.unsubscribe(freedChannel(oldest[1]))
  }

  tell(): void {}

  async close(): Promise<void> {
    this.#subscriber?.close()
  }

  #heard(channel: string, claim: string): void {
    const lock = claim === '*' ? lockOf(channel) : undefined
    if (lock) this.#line.ringFor(lock)
    else this.#line.ring(claim)
  }
}
