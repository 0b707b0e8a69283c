import { type RedisSet, startRedis } from './redis.js'
import { startRedisCluster } from './redis-cluster.js'
import { startRedisSentinel } from './redis-sentinel.js'

/** Every kind of Redis that a URL can name: what holds for one has to hold for all. */
export const REDIS_KINDS = {
  standalone: async (): Promise<RedisSet> => {
    const server = await startRedis()
    return { url: server.url, servers: [server], remove: () => server.remove() }
  },
  sentinel: (): Promise<RedisSet> => startRedisSentinel(),
  cluster: (): Promise<RedisSet> => startRedisCluster(),
} as const
