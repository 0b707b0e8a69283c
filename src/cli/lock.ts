import type { Command } from 'commander'
import { SpillwayError } from '../errors.js'
import type { LockSummary } from '../locks/tenant-locks.js'
import type { Spillway } from '../spillway.js'
import { checkName } from '../tenant.js'
import { wherever } from './either.js'
import { output } from './output.js'
import type { Remote } from './remote.js'

interface Shared {
  readonly tenant: string
  readonly json?: boolean
}

/** A tenant's locks, here or through the server that holds an embedded store. */
interface Locks {
  list(): Promise<readonly LockSummary[]>
  break(name: string): Promise<void>
}

const COLUMNS = ['name', 'holder', 'since', 'leftMs', 'waiting', 'fence'] as const
/** In which a process that has just started learns which store reigns. */
const PATIENCE_MS = 10_000
const PAUSE_MS = 100

export function addLock(program: Command): void {
  const lock = program.command('lock').description('See who holds which lock, and take one from its holder.')

  shared(lock.command('list'))
    .description('List the locks that are held: by whom, since when, and how many wait.')
    .addHelpText('after', '\nExample:\n  spillway lock list --tenant acme')
    .action(({ tenant, json }: Shared) =>
      withLocks(tenant, async (locks) => {
        output(json === true).table(await locks.list(), COLUMNS, `No lock of the tenant ${tenant} is held.`)
      }),
    )

  shared(lock.command('break <name>'))
    .description(
      'Take a lock from its holder: who waits gets it. Tables that ask spillway.fence_ok refuse the old holder’s writes from then on; what does not ask may see two holders until the old one has heard of it.',
    )
    .addHelpText('after', '\nExample:\n  spillway lock break flow:import-42 --tenant acme')
    .action((name: string, { tenant, json }: Shared) =>
      withLocks(tenant, async (locks) => {
        await locks.break(checkName('lock', name))
        output(json === true).line({ name, broken: true }, `The lock ${name} is broken.`)
      }),
    )
}

function shared(command: Command): Command {
  return command.option('-t, --tenant <name>', 'whose locks', 'default').option('--json', 'as JSON')
}

function withLocks(tenant: string, work: (locks: Locks) => Promise<void>): Promise<void> {
  return wherever(tenant, { here: (spillway) => localLocks(spillway, tenant), there: remoteLocks }, work)
}

function localLocks(spillway: Spillway, tenant: string): Locks {
  const { locks } = spillway.tenant(tenant)
  return {
    list: () => patiently(() => locks.list()),
    break: async (name) => {
      if (!(await patiently(() => locks.break(name))))
        throw new SpillwayError('NOT_FOUND', `Nobody holds the lock "${name}"`)
    },
  }
}

function remoteLocks(remote: Remote): Locks {
  return {
    list: () => remote.json('GET', '/v1/admin/locks'),
    break: async (name) => void (await remote.send('DELETE', `/v1/admin/locks/${encodeURIComponent(name)}`)),
  }
}

/** Tries again while nobody can say which store reigns. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  const end = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const passes = error instanceof SpillwayError && error.code === 'TERM_UNKNOWN'
      if (!passes || performance.now() > end) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}
