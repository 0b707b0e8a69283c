import type { Config } from '../config.js'
import { SpillwayError } from '../errors.js'
import { modeOf } from '../stores.js'
import { refuseOpenServer } from './origin.js'

/** What a server cannot be started with, told before any store is opened. Errors: `CONFIG_INVALID`. */
export function refuseUnfit(config: Config): void {
  refuseOpenServer(config)
  if (config.auth === 'keys' && modeOf(config) === 'redis') {
    throw new SpillwayError(
      'CONFIG_INVALID',
      'SPILLWAY_AUTH=keys needs PostgreSQL, which keeps what is revoked: set DATABASE_URL (embedded: in this process), or SPILLWAY_AUTH to jwt',
    )
  }
}
