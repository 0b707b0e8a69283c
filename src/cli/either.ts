import { readConfig } from '../config.js'
import { Spillway } from '../spillway.js'
import { checkName } from '../tenant.js'
import { isInUse } from './flows.js'
import { type Remote, remoteOf } from './remote.js'

/** What a command works on, opened by this process or reached through the server that holds an embedded store. */
export interface Ways<T> {
  here(spillway: Spillway): T | Promise<T>
  there(remote: Remote): T
}

/** Works on a tenant's things where they are. Errors: those of `Spillway.open`, of the server, and of `work`. */
export async function wherever<T>(
  tenant: string,
  ways: Ways<T>,
  work: (things: T) => Promise<void>,
): Promise<void> {
  checkName('tenant', tenant)
  const config = readConfig(process.env)
  let spillway: Spillway
  try {
    spillway = await Spillway.open({ config })
  } catch (error) {
    const remote = isInUse(error) ? remoteOf(config.dataDir, tenant) : undefined
    if (!remote) throw error
    return work(ways.there(remote))
  }
  try {
    await work(await ways.here(spillway))
  } finally {
    await spillway.close()
  }
}
