import type { PostgresServer } from '../postgres.js'
import type { Nemesis } from './nemesis.js'

/** A shutdown without a checkpoint: every connection is cut, the start recovers from the log. */
export function postgresStopped(postgres: PostgresServer): Nemesis {
  return {
    name: 'PostgreSQL shut down at once',
    begin: () => postgres.stop('immediate'),
    end: () => postgres.start(),
  }
}

/** SIGKILL to the postmaster, as the out-of-memory killer does it. */
export function postgresKilled(postgres: PostgresServer): Nemesis {
  return { name: 'PostgreSQL killed', begin: () => postgres.kill(), end: () => postgres.start() }
}

/** A process that can be stopped, under its name; undefined: there is none now. */
export interface Stoppable {
  readonly name: string
  readonly pid: number
}

/**
 * SIGSTOP and SIGCONT of one process. It does not know that it was away: what it decided before, it does after,
 * with a monotonic clock that went on. A PostgreSQL server is many processes in sessions of their own: its links
 * are stopped instead.
 */
export function processFrozen(pick: () => Stoppable | undefined): Nemesis {
  let victim: Stoppable | undefined
  return {
    get name() {
      return `${victim?.name ?? 'an instance'} stopped (SIGSTOP)`
    },
    begin: async () => {
      victim = pick()
      if (victim) process.kill(victim.pid, 'SIGSTOP')
    },
    end: async () => {
      if (victim) process.kill(victim.pid, 'SIGCONT')
    },
  }
}
