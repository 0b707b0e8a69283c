import { words } from '../format.js'

/** A flow's status: a word and a colour, never the colour alone. */
export function StatusChip({ status }: { status: string | null | undefined }) {
  const name = status ?? 'unknown'
  return <span class={`chip chip-${name}`}>{status === 'waiting' ? 'Waiting for you' : words(name)}</span>
}
