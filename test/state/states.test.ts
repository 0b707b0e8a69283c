import { Spillway } from '../../src/index.js'
import { freshDatabase } from '../support/database.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { statesConformance } from './states.conformance.js'

statesConformance('states in PostgreSQL', async () => {
  const fresh = await freshDatabase()
  const spillway = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4 } })
  return {
    spillway,
    durability: 'durable',
    close: async () => {
      await spillway.close()
      await fresh.drop()
    },
  }
})

for (const [kind, start] of Object.entries(REDIS_KINDS)) {
  statesConformance(`states in Redis (${kind})`, async () => {
    const redis = await start()
    const spillway = await Spillway.open({ redis: redis.url })
    return {
      spillway,
      durability: 'fast',
      close: async () => {
        await spillway.close()
        await redis.remove()
      },
    }
  })
}
