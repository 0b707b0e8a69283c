import { SpillwayError } from '../../src/errors.js'
import { parseAddress } from '../../src/redis/address.js'
import { RedisClient, type RedisHooks } from '../../src/redis/client.js'
import { type Fault, faultOf } from '../../src/redis/errors.js'
import type { RedisSettings } from '../../src/redis/settings.js'

/** A client with short times, so that a test of a hung server is short too. */
export function openClient(
  url: string,
  hooks: RedisHooks = {},
  with_: Partial<RedisSettings> = {},
): RedisClient {
  return RedisClient.open(
    {
      address: parseAddress(url),
      commandTimeoutMs: 250,
      connectTimeoutMs: 500,
      reconnectMs: 100,
      probeMs: 50,
      ca: undefined,
      name: 'spillway:test',
      ...with_,
    },
    hooks,
  )
}

/** What a call failed with; the test fails if it did not. */
export async function failure(call: Promise<unknown>): Promise<{ code: string; message: string } & Fault> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof SpillwayError)) throw new Error('it did not fail as it should', { cause: error })
  const fault = faultOf(error)
  if (!fault) throw new Error('it has no fault', { cause: error })
  return { code: error.code, message: error.message, ...fault }
}
