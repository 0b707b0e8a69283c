import { RedisLog } from '../../src/events/redis.js'
import { FixedTerm } from '../../src/term/fixed.js'
import { openClient } from '../redis/open.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { reignOf } from '../term/reign.js'
import { beginAt } from './drafts.js'
import { logConformance } from './log.conformance.js'
import { stillStore } from './log-store.js'

for (const [kind, start] of Object.entries(REDIS_KINDS)) {
  logConformance(`Redis (${kind}), of fast flows under its reign`, async () => {
    const set = await start()
    // Pages of megabytes beside other tests.
    const redis = openClient(set.url, {}, { commandTimeoutMs: 5000 })
    await redis.ready(10_000)
    const term = new FixedTerm(reignOf(1))
    const log = new RedisLog({
      redis,
      term,
      maxEvents: 10_000,
      silenceMs: 1e9,
      beginnings: beginAt(() => 0),
    })
    const close = async () => {
      redis.close()
      await set.remove()
    }
    return { ...stillStore(log, 'fast', close), log }
  })
}
