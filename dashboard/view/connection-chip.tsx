import { useMemo } from 'preact/hooks'
import type { StreamStatus } from '../../client/index.js'
import { useSecondsUntil } from '../live/use-seconds.js'

/** How the live stream is doing, for eyes and for screen readers. */
export function ConnectionChip({ status }: { status: StreamStatus }) {
  const end = useMemo(
    () => (status.state === 'waiting' ? Date.now() + status.retryInMs : undefined),
    [status],
  )
  const seconds = useSecondsUntil(end)
  switch (status.state) {
    case 'open':
      return <Chip tone="live" text="Live" />
    case 'connecting':
      return <Chip tone="pending" text="Connecting" />
    case 'waiting':
      // Announced once: a countdown read aloud every second would drown everything else.
      return <Chip tone="waiting" text="Reconnecting" detail={`in ${seconds} s`} />
    case 'closed':
      return status.error ? (
        <Chip tone="failed" text={`Ended: ${status.error.message}`} />
      ) : (
        <Chip tone="pending" text="Closed" />
      )
  }
}

function Chip({ tone, text, detail }: { tone: string; text: string; detail?: string }) {
  return (
    <span class={`chip chip-${tone} connection`}>
      <output>{text}</output>
      {detail !== undefined && <span aria-hidden="true">{detail}</span>}
    </span>
  )
}
