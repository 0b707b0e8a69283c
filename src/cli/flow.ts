import { type Command, InvalidArgumentError, Option } from 'commander'
import { SpillwayError } from '../errors.js'
import type { FlowEvent } from '../events/event.js'
import { type FlowStatus, STATUSES } from '../state/states.js'
import { withFlows } from './flows.js'
import { output, printable } from './output.js'
import { stopSignal } from './stop.js'

interface Shared {
  readonly tenant: string
  readonly json?: boolean
}

export function addFlow(program: Command): void {
  const flow = program
    .command('flow')
    .description('Look at flows: list them, read their events and state, follow them live.')

  shared(flow.command('list'))
    .description('List flows, last active first.')
    .option('-e, --engagement <name>', 'only flows of this group')
    .addOption(new Option('-s, --status <status>', 'only flows that are so').choices(STATUSES))
    .option('-n, --limit <number>', 'so many at most, 1 to 1000 (default: 100)', countOf)
    .addHelpText('after', '\nExample:\n  spillway flow list --status running')
    .action((options: Shared & { engagement?: string; status?: FlowStatus; limit?: number }) =>
      withFlows(options.tenant, async (flows) => {
        const { engagement, status, limit, json } = options
        const rows = await flows.list({ engagement, status, limit })
        const columns = [
          'flow',
          'status',
          'phase',
          'progress',
          'active_at',
          'engagement',
          'last_event_id',
        ] as const
        output(json === true).table(rows, columns, `The tenant ${options.tenant} has no such flows.`)
      }),
    )

  shared(flow.command('history <flow>'))
    .description('Print past events, oldest first, one a line.')
    .option('-a, --after <cursor>', 'only events after this id')
    .option('-l, --last <number>', 'the newest so many, 1 to 1000', countOf)
    .option('-n, --limit <number>', 'so many at most, 1 to 1000 (default: 100)', countOf)
    .addHelpText(
      'after',
      '\nExamples:\n  spillway flow history abc123 --last 10\n  spillway flow history abc123 --json',
    )
    .action((name: string, options: Shared & { after?: string; last?: number; limit?: number }) =>
      withFlows(options.tenant, async (flows) => {
        const { after, last, limit, json } = options
        for (const event of await flows.history(name, { after, last, limit })) print(event, json)
      }),
    )

  shared(flow.command('tail <flow>'))
    .description('Print events as they happen, one a line, until SIGINT.')
    .option('-a, --after <cursor>', 'first what came after this id; 0: from the beginning')
    .addHelpText(
      'after',
      '\nExamples:\n  spillway flow tail abc123\n  spillway flow tail abc123 --after 0 --json',
    )
    .action((name: string, options: Shared & { after?: string }) => {
      const signal = stopSignal()
      return withFlows(options.tenant, async (flows) => {
        try {
          for await (const event of flows.tail(name, options.after, signal)) print(event, options.json)
        } catch (error) {
          if (!signal.aborted) throw error
        }
      })
    })

  shared(flow.command('state <flow>'))
    .description('Print the state of a flow as JSON.')
    .addHelpText('after', '\nExample:\n  spillway flow state abc123')
    .action((name: string, options: Shared) =>
      withFlows(options.tenant, async (flows) => {
        const state = await flows.state(name)
        if (state === null)
          throw new SpillwayError(
            'NOT_FOUND',
            `The flow ${name} has no state: \`spillway flow list\` shows what is there`,
          )
        output(options.json === true).line(state, JSON.stringify(state, null, 2))
      }),
    )
}

function shared(command: Command): Command {
  return command
    .option('-t, --tenant <name>', 'whose flows', 'default')
    .option('--json', 'JSON: an array for a list, a line for each event')
}

function print(event: FlowEvent, json: boolean | undefined): void {
  const { timestamp, id, type, source, payload } = event
  const text = [timestamp, id, printable(type), printable(source), JSON.stringify(payload)].join('  ')
  output(json === true).line(event, text)
}

function countOf(text: string): number {
  const count = Number(text)
  if (!/^\d{1,4}$/.test(text) || count < 1 || count > 1000)
    throw new InvalidArgumentError('Give a number from 1 to 1000.')
  return count
}
