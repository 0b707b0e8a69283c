import type { FlowStatus } from '../../client/index.js'
import { words } from '../format.js'

/** A flow's status: a word and a colour, never the colour alone. */
export function StatusChip({ status }: { status: FlowStatus }) {
  return <span class={`chip chip-${status}`}>{status === 'waiting' ? 'Waiting for you' : words(status)}</span>
}
