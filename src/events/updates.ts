import type { RedisClient } from '../redis/client.js'
import { key, whatIs } from '../redis/keys.js'
import type { Listener, Subscriber } from '../redis/subscriber.js'
import { type FlowRef, flowTag } from '../tenant.js'
import { readAnnouncement } from './announcement.js'
import type { Live } from './live.js'

/**
 * Hears of events over Redis: one connection, one channel a flow that somebody here watches. What it hears goes to
 * the flow's feed as a local commit does; a hole in it, or silence, only makes the feed look at the log.
 */
export class Updates implements Listener {
  readonly #live: Live
  readonly #subscriber: Subscriber

  constructor(redis: RedisClient, live: Live) {
    this.#live = live
    this.#subscriber = redis.subscriber(this)
    live.onWatch((ref, watched) => this.#watch(ref, watched))
  }

  heard(channel: string, message: string): void {
    const { tenant, flow } = whatIs(channel)?.parts ?? {}
    if (tenant === undefined || flow === undefined) return
    const events = readAnnouncement(message)
    if (events) this.#live.committed({ tenant, flow }, events)
    else this.#live.hinted([flowTag({ tenant, flow })])
  }

  hearing(works: boolean): void {
    this.#live.hearing(works)
  }

  close(): void {
    this.#subscriber.close()
  }

  #watch(ref: FlowRef, watched: boolean): void {
    const channel = key('flow:updates', ref)
    if (!watched) {
      this.#subscriber.unsubscribe(channel)
      return
    }
    void this.#subscriber.subscribe(channel).then((entered) => {
      // What was published between the feed's first look and now was not heard.
      if (entered) this.#live.hinted([flowTag(ref)])
    })
  }
}
