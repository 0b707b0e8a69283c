import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type FlowEvent, Spillway } from 'spillway'
import { freshDatabase } from '../support/database.js'

/** A Spillway on a database of its own, and how to be rid of both. */
export async function freshSpillway() {
  const dataDir = await mkdtemp(join(tmpdir(), 'spillway-discovery-'))
  const database = await freshDatabase()
  const spillway = await Spillway.open({ dataDir, postgres: database.url })
  const close = async () => {
    await spillway.close()
    await database.drop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { spillway, close }
}

/** Everything that was said in a flow. */
export async function historyOf(spillway: Spillway, flow: string, tenant = 'default'): Promise<FlowEvent[]> {
  const events: FlowEvent[] = []
  for (let after = '0'; ; after = events.at(-1)?.id ?? '0') {
    const page = await spillway.tenant(tenant).flow(flow).history({ after, limit: 1000 })
    if (page.length === 0) return events
    events.push(...page)
  }
}

export interface Life {
  readonly child: ChildProcess
  /** The store is open, the flow begins. */
  readonly ready: Promise<void>
  /** The result's line, or null for one that was killed before. */
  readonly ended: Promise<string | null>
}

/** Runs the discovery flow in a process of its own, on the built package. */
export function startLife(
  where: { file: string; dataDir: string; postgres: string; flow: string },
  nodeOptions: readonly string[] = [],
): Life {
  const script = fileURLToPath(new URL('./run-demo.mjs', import.meta.url))
  const { file, dataDir, postgres, flow } = where
  const child = spawn(process.execPath, [...nodeOptions, script, file, dataDir, postgres, flow], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  let sayReady: () => void = () => undefined
  const ready = new Promise<void>((resolve) => {
    sayReady = resolve
  })
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    if (line === 'ready') sayReady()
  })
  const ended = once(child, 'close').then(() => {
    sayReady()
    return lines[1] ?? null
  })
  return { child, ready, ended }
}
