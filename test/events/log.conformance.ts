import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventLog } from '../../src/events/log.js'
import { draft, newBatch, numbered, readAll, someFlow } from './drafts.js'
import { intakeConformance } from './intake.conformance.js'
import type { LogStore } from './log-store.js'
import { readingConformance } from './reading.conformance.js'

/** What users may count on whatever lies behind: a way in for drafts, and a reader. */
export function flowsConformance(name: string, open: () => Promise<LogStore>): void {
  describe(name, () => {
    const opened = storeOf(open)
    intakeConformance(opened)
    readingConformance(opened)
  })
}

/** What every event log must do. */
export function logConformance(
  name: string,
  open: () => Promise<LogStore & { readonly log: EventLog }>,
): void {
  describe(`the event log on ${name}`, () => {
    const opened = storeOf(open)
    intakeConformance(opened)
    readingConformance(opened)
    batchConformance(opened)
  })
}

function storeOf<S extends LogStore>(open: () => Promise<S>): () => S {
  let store: S | undefined
  beforeAll(async () => {
    store = await open()
  })
  afterAll(() => store?.close())
  return () => store as S
}

function batchConformance(opened: () => LogStore & { readonly log: EventLog }): void {
  it('stores a batch that is repeated under its token once, and answers the same', async () => {
    const { log, durability, quietly } = opened()
    const another = durability === 'durable' ? 'fast' : 'durable'
    await quietly(async () => {
      const ref = someFlow()
      // Long enough that what the batch has stored is not all on one page of the store's.
      await log.append(numbered(ref, 250), newBatch())
      await log.append([draft(ref, { key: 'old', payload: '"old"' })], newBatch())
      const drafts = [
        ...numbered(ref, 3),
        draft(ref, { key: 'old' }),
        draft(ref, { durability: another }),
        draft(ref, { key: 'twice', payload: '"once"' }),
        draft(ref, { key: 'twice' }),
        draft(someFlow(), { key: 'new' }),
      ]
      const batch = newBatch()
      const first = await log.append(drafts, batch)
      expect(first.map((o) => ('error' in o ? o.error.code : o.repeated))).toEqual([
        ...[false, false, false],
        true,
        'DURABILITY_FIXED',
        false,
        true,
        false,
      ])
      await log.append(numbered(ref, 450), newBatch())
      for (let i = 0; i < 2; i++) {
        const again = await log.append(drafts, { ...batch, repeat: true })
        expect(again.map((o) => ('error' in o ? o.error.code : o))).toEqual(
          first.map((o) => ('error' in o ? o.error.code : o)),
        )
      }
      const all = await readAll(log, ref)
      expect(all.map((event) => event.seq)).toEqual(all.map((_, i) => i + 1))
      expect(all).toHaveLength(251 + 4 + 450)
    })
  })
}
