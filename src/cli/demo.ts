import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { SpillwayError } from '../errors.js'
import { callerOf } from '../http/caller.js'
import type { Spillway } from '../spillway.js'
import { report } from './failure.js'
import { output } from './output.js'
import { addAddress, configOf, openSpillway, type ServeOptions, sayWhere, startServer } from './serve.js'
import { stopped, stopSignal } from './stop.js'

/** What the command needs of examples/discovery, which is built on this package and not part of it. */
interface Discovery {
  runDemo(options: {
    spillway: Spillway
    file?: string | undefined
    progress: boolean
    signal?: AbortSignal | undefined
  }): Promise<{
    readonly flow: string
    readonly rows: number
    readonly rejected: number
    readonly assets: number
    readonly report: object
  }>
  demoRoutes(
    spillway: Spillway,
    options: { tenantOf: (request: FastifyRequest) => string },
  ): FastifyPluginAsync
}

interface DemoOptions extends ServeOptions {
  readonly serve?: boolean
}

export function addDemo(program: Command): void {
  addAddress(program.command('demo [file]'))
    .description('Import a table (CSV or TSV) with the discovery example; without FILE its sample.')
    .option('-s, --serve', 'serve the page meanwhile and afterwards, until SIGINT or SIGTERM')
    .option('--json', 'print the result as JSON, and no progress')
    .addHelpText(
      'after',
      `
A demo that was stopped or killed goes on where it was when it is started again.

Examples:
  spillway demo --serve             watch the sample in a browser
  spillway demo servers.csv         import a file of yours, and show the result`,
    )
    .action(async (file: string | undefined, options: DemoOptions) => {
      // Before a flow is made for it.
      if (file !== undefined && !existsSync(file)) {
        throw new SpillwayError('NOT_FOUND', `There is no file ${file}: give the path of a CSV or TSV file`)
      }
      const discovery = await loadDiscovery()
      const signal = stopSignal()
      await (options.serve ? serveDemo : runOnce)(discovery, file, options, signal)
    })
}

async function runOnce(
  discovery: Discovery,
  file: string | undefined,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const spillway = await openSpillway(configOf(options))
  try {
    await importFile(discovery, spillway, file, options, signal)
  } finally {
    await spillway.close()
  }
}

async function serveDemo(
  discovery: Discovery,
  file: string | undefined,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const routes = (spillway: Spillway) => [
    discovery.demoRoutes(spillway, { tenantOf: (request) => callerOf(request).tenant }),
  ]
  const running = await startServer(configOf(options), routes)
  try {
    sayWhere(running, options.json === true)
    // A file that cannot be imported has failed visibly, as a flow: the page stays, for it and for other files.
    await importFile(discovery, running.spillway, file, options, signal).catch((error: unknown) => {
      report(error, options.json === true)
    })
    await stopped(signal)
  } finally {
    await running.stop()
  }
}

/** A stop is no failure: the import goes on at the next start. */
async function importFile(
  discovery: Discovery,
  spillway: Spillway,
  file: string | undefined,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const { json = false } = options
  try {
    const result = await discovery.runDemo({ spillway, file, progress: !json, signal })
    const { flow, rows, rejected, assets } = result
    output(json).line(
      result,
      `Flow ${flow}: ${rows} rows imported, ${rejected} rejected, ${assets} assets. \`spillway flow history ${flow}\` shows it.`,
    )
  } catch (error) {
    if (!signal.aborted) throw error
    process.stderr.write('spillway: stopped; the import goes on when the demo is started again\n')
  }
}

async function loadDiscovery(): Promise<Discovery> {
  const at = new URL('../../examples/discovery/index.js', import.meta.url)
  const found: unknown = await import(at.href).catch((error: unknown) => {
    throw new SpillwayError('NOT_FOUND', 'The discovery example is not built: run `npm run build`', {
      cause: error,
    })
  })
  if (!isDiscovery(found))
    throw new SpillwayError('INTERNAL', 'The discovery example is of another version: run `npm run build`')
  return found
}

function isDiscovery(found: unknown): found is Discovery {
  if (typeof found !== 'object' || found === null) return false
  const { runDemo, demoRoutes }: { runDemo?: unknown; demoRoutes?: unknown } = found
  return typeof runDemo === 'function' && typeof demoRoutes === 'function'
}
