import type { Command } from 'commander'
import { SpillwayError } from '../errors.js'
import type { LimitPage, LimitReport } from '../limits/limits.js'
import type { Spillway } from '../spillway.js'
import { wherever } from './either.js'
import { output } from './output.js'
import type { Remote } from './remote.js'

interface Shared {
  readonly tenant: string
  readonly json?: boolean
}

/** A tenant's limits, wherever they are. */
interface Limits {
  page(name: string | undefined, after: string | undefined): Promise<LimitPage>
  reset(name: string): Promise<boolean>
}

const COLUMNS = ['name', 'algorithm', 'used', 'max', 'perMs', 'resetMs'] as const
const PAGE = 1000
/** An instance that has just come in waits so long to hear which store reigns. */
const PATIENCE_MS = 5000
const LOOK_MS = 50

export function addLimit(program: Command): void {
  const limit = program
    .command('limit')
    .description('Look at rate limits and what they have counted; forget it.')

  shared(limit.command('show [name]'))
    .description('Show limits that have counted something, all of a tenant or those under a name.')
    .addHelpText('after', '\nExamples:\n  spillway limit show --tenant acme\n  spillway limit show user:u1')
    .action((name: string | undefined, { tenant, json }: Shared) =>
      withLimits(tenant, async (limits) => {
        const found: LimitReport[] = []
        let after: string | undefined
        do {
          const page = await limits.page(name, after)
          found.push(...page.limits)
          after = page.next ?? undefined
        } while (after !== undefined)
        const which = name === undefined ? '' : ` under "${name}"`
        output(json === true).table(
          found,
          COLUMNS,
          `No limit of the tenant ${tenant}${which} has counted anything.`,
        )
      }),
    )

  shared(limit.command('reset <name>'))
    .description('Forget what was counted under a name, whatever the algorithm.')
    .addHelpText('after', '\nExample:\n  spillway limit reset user:u1 --tenant acme')
    .action((name: string, { tenant, json }: Shared) =>
      withLimits(tenant, async (limits) => {
        const reset = await limits.reset(name)
        output(json === true).line(
          { name, reset },
          reset ? `${name} counts from nothing again` : `${name} had nothing`,
        )
      }),
    )
}

function shared(command: Command): Command {
  return command
    .option('-t, --tenant <name>', 'whose limits; spillway: those of the platform', 'default')
    .option('--json', 'as JSON')
}

function withLimits(tenant: string, work: (limits: Limits) => Promise<void>): Promise<void> {
  return wherever(tenant, { here: (spillway) => localLimits(spillway, tenant), there: remoteLimits }, work)
}

async function localLimits(spillway: Spillway, tenant: string): Promise<Limits> {
  const { limits } = spillway.tenant(tenant)
  await reigning(spillway)
  return {
    page: (name, after) => limits.list({ name, after, limit: PAGE }),
    reset: (name) => limits.reset(name),
  }
}

async function reigning(spillway: Spillway): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!spillway.term.reign) {
    if (performance.now() > end)
      throw new SpillwayError('TERM_UNKNOWN', 'Nobody can say now which store reigns')
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

function remoteLimits(remote: Remote): Limits {
  return {
    page: (name, after) => {
      const query = new URLSearchParams({ limit: String(PAGE) })
      if (name !== undefined) query.set('name', name)
      if (after !== undefined) query.set('after', after)
      return remote.json('GET', `/v1/admin/limits?${query}`)
    },
    reset: async (name) => {
      const path = `/v1/admin/limits/${encodeURIComponent(name)}`
      return (await remote.json<{ reset: boolean }>('DELETE', path)).reset
    },
  }
}
