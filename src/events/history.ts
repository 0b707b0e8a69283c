import { SpillwayError } from '../errors.js'
import type { FlowRef } from '../tenant.js'
import type { Cursor, Gap } from './cursor.js'
import type { Item } from './delivery.js'
import type { Page, Position, Range, Recent } from './log.js'

/** A page of a flow's history as it is stored. */
export interface HistoryPage extends Pick<Page, 'durability' | 'events'> {
  /** Where the log stood; not known while it is away. */
  readonly position?: Position | undefined
  /** Whether the range holds more in the direction of reading, or may hold more. */
  readonly more: boolean
  /** What the cursor's reader can no longer have, in order, and where it goes on behind each. */
  readonly gaps: readonly Extract<Item, { readonly gap: Gap }>[]
}

/** What a page is asked for. */
export interface Asked extends Required<Omit<Range, 'after'>> {
  readonly after: Cursor
}

/** A log that is silent for so long is taken for away; it may be only slow, and answer all the same. */
const PATIENCE_MS = 1000

/**
 * What the log answers. Where it fails, or says nothing for long, what recent events have of the range: its beginning,
 * exactly as the log has it, and whether that is all of it.
 */
export async function orRecent(
  read: Promise<HistoryPage>,
  recent: () => Promise<HistoryPage | undefined>,
): Promise<HistoryPage> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), PATIENCE_MS)
  })
  try {
    const page = await Promise.race([read, late])
    if (page) return page
  } catch (error) {
    if (!(error instanceof SpillwayError && error.code === 'STORE_UNAVAILABLE')) throw error
  } finally {
    clearTimeout(timer)
  }
  return (await recent()) ?? read
}

/** A page of recent events; undefined if they do not have the first event that it would have. */
export async function recentPage(
  recent: Recent | undefined,
  ref: FlowRef,
  { after, before, order, limit }: Asked,
): Promise<HistoryPage | undefined> {
  const events = await recent?.stretch(ref, { after: after.seq, before, order, limit }, after.term)
  const last = events?.at(-1)
  if (!events || !last) return undefined
  return {
    events,
    durability: 'durable',
    gaps: [],
    more: last.seq !== (order === 'asc' ? before - 1 : after.seq + 1),
  }
}
