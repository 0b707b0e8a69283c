import { expect, it } from 'vitest'
import { readConfig } from '../src/config.js'
import { modeOf } from '../src/stores.js'

it.each([
  [{}, 'embedded'],
  [{ DATABASE_URL: 'embedded' }, 'embedded'],
  [{ DATABASE_URL: 'postgres://db/app' }, 'postgres'],
  [{ REDIS_URL: 'redis://cache' }, 'redis'],
  [{ REDIS_HOST: 'cache' }, 'redis'],
  [{ REDIS_URL: 'redis://cache', DATABASE_URL: 'embedded' }, 'full'],
  [{ REDIS_HOST: 'cache', DATABASE_URL: 'postgres://db/app' }, 'full'],
] as const)('%j is the mode %s', (env, mode) => {
  expect(modeOf(readConfig(env))).toBe(mode)
})
