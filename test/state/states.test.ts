import { Spillway } from '../../src/index.js'
import { freshDatabase } from '../support/database.js'
import { startRedis } from '../support/redis.js'
import { startRedisCluster } from '../support/redis-cluster.js'
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

for (const [name, start] of Object.entries({ Redis: startRedis, 'a Redis Cluster': startRedisCluster })) {
  statesConformance(`states in ${name}`, async () => {
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
