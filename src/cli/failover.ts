import { type Command, InvalidArgumentError } from 'commander'
import { readConfig } from '../config.js'
import { SpillwayError } from '../errors.js'
import { Spillway, type TermReport } from '../spillway.js'
import type { StoreName } from '../term/term.js'
import { isInUse } from './flows.js'
import { output } from './output.js'
import { remoteOf } from './remote.js'

/** What can be asked of the term, here or through the server that holds an embedded store. */
interface Term {
  report(): Promise<TermReport>
  turn(store: StoreName): Promise<void>
  drill(): Promise<void>
}

const PATIENCE_MS = 60_000
/** A return waits for Redis to be well for a while, the longer the more often it was not. */
const RETURN_PATIENCE_MS = 600_000
const LOOK_MS = 100

export function addFailover(program: Command): void {
  const failover = program
    .command('failover')
    .description('See which store reigns, Redis or PostgreSQL, and make the other one reign.')

  failover
    .command('status')
    .description('Show the term: the store that reigns, and how every instance sees it.')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  spillway failover status')
    .action(({ json }: { json?: boolean }) =>
      withTerm(async (term) => show(await term.report(), json === true)),
    )

  failover
    .command('turn [store]')
    .description(
      'Make the other store reign, or the one named: redis or postgres. PostgreSQL then reigns until you ask for redis.',
    )
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExamples:\n  spillway failover turn postgres\n  spillway failover turn redis')
    .action((name: string | undefined, { json }: { json?: boolean }) =>
      withTerm(async (term) => {
        const before = await term.report()
        const store = name === undefined ? other(before.store) : storeOf(name)
        if (before.store === store && before.phase === 'open') return show(before, json === true)
        await term.turn(store)
        show(await reached(term, store, before.number, PATIENCE_MS), json === true)
      }),
    )

  failover
    .command('drill')
    .description('Rehearse an outage: PostgreSQL reigns, then Redis again; says how long each turn took.')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  spillway failover drill')
    .action(({ json }: { json?: boolean }) =>
      withTerm(async (term) => {
        const before = await term.report()
        const started = performance.now()
        await term.drill()
        const away = await reached(term, 'postgres', before.number, PATIENCE_MS)
        const awayMs = Math.round(performance.now() - started)
        if (!json)
          process.stderr.write(
            `PostgreSQL reigns after ${awayMs} ms (term ${away.number}); waiting for the return\n`,
          )
        const back = await reached(term, 'redis', away.number, RETURN_PATIENCE_MS)
        const backMs = Math.round(performance.now() - started) - awayMs
        output(json === true).line(
          { away_ms: awayMs, back_ms: backMs, term: back.number },
          `Redis reigns again after another ${backMs} ms (term ${back.number})`,
        )
      }),
    )
}

async function withTerm(work: (term: Term) => Promise<void>): Promise<void> {
  const config = readConfig(process.env)
  let spillway: Spillway
  try {
    spillway = await Spillway.open({ config })
  } catch (error) {
    const remote = isInUse(error) ? remoteOf(config.dataDir, 'default') : undefined
    if (!remote) throw error
    return work({
      report: () => remote.json('GET', '/v1/admin/term'),
      turn: async (store) => void (await remote.send('POST', '/v1/admin/term/turn', { body: { store } })),
      drill: async () => void (await remote.send('POST', '/v1/admin/term/drill')),
    })
  }
  try {
    await work({
      report: async () => spillway.termReport(),
      turn: async (store) => spillway.turn(store),
      drill: async () => spillway.turn('postgres', 'drill'),
    })
  } finally {
    await spillway.close()
  }
}

async function reached(term: Term, store: StoreName, beyond: number, withinMs: number): Promise<TermReport> {
  const end = performance.now() + withinMs
  for (;;) {
    const report = await term.report()
    if (report.store === store && report.phase === 'open' && report.number > beyond) return report
    if (performance.now() > end) {
      throw new SpillwayError(
        'TERM_BUSY',
        `${store} does not reign after ${withinMs / 1000} s: \`spillway failover status\` shows how the instances see Redis`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

function show(report: TermReport, json: boolean): void {
  const { number, store, phase, want, reason, held, mode, problem, warning, instances, open_ms } = report
  if (json) {
    output(true).line(report, '')
    return
  }
  const state = phase === 'open' ? `for ${Math.round(open_ms / 1000)} s` : `closing towards ${want}`
  const why = reason === null ? '' : `, last turn: ${reason}`
  const stays = held ? '; an operator holds it there' : ''
  output(false).line(report, `${store} reigns, term ${number}, ${state} (mode ${mode}${why}${stays})`)
  if (problem !== null) output(false).line(report, `this instance does not see Redis well: ${problem}`)
  if (warning !== null) output(false).line(report, warning)
  const columns = ['name', 'view', 'matches', 'stopped', 'age_ms'] as const
  output(false).table(instances, columns, 'One store: there are no instances to agree.')
}

function other(store: StoreName): StoreName {
  return store === 'redis' ? 'postgres' : 'redis'
}

function storeOf(name: string): StoreName {
  if (name === 'redis' || name === 'postgres') return name
  throw new InvalidArgumentError('Name redis or postgres.')
}
