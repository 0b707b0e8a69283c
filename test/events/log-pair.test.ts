import { afterAll, beforeAll } from 'vitest'
import { DURABILITIES } from '../../src/events/log.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { flowsConformance } from './log.conformance.js'
import { openPair } from './pair.js'

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.remove())

for (const durability of DURABILITIES) {
  for (const turned of [false, true]) {
    flowsConformance(`${durability} flows of the pair${turned ? ' that is being turned' : ''}`, async () => {
      await server.ask('FLUSHALL')
      return openPair(server.url, durability, { turned })
    })
  }
}
