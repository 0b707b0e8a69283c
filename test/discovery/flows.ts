import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FlowEvent, Spillway } from 'spillway'
import { afterAll } from 'vitest'

/** A folder of the test file's own. */
export async function lastingFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'spillway-discovery-'))
  afterAll(() => rm(path, { recursive: true, force: true }))
  return path
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
