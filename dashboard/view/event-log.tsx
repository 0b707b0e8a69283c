import { memo } from 'preact/compat'
import { useRef, useState } from 'preact/hooks'
import type { FlowEvent, Gap } from '../../client/index.js'
import { clock, number } from '../format.js'
import { KEPT, type EventLog as Log, type LogEntry } from '../model/event-log.js'

const PREVIEW_CHARS = 120
const PAYLOAD_CHARS = 100_000

/** The flow's newest events, newest first, as they come. */
export function EventLog({ log }: { log: Log }) {
  const [type, setType] = useState('')
  const [paused, setPaused] = useState(false)
  const kept = useRef<readonly LogEntry[]>([])
  if (!paused) kept.current = log.newest.slice(0, KEPT)
  const entries = kept.current.filter(
    (entry) => type === '' || entry.kind === 'gap' || entry.event.type === type,
  )
  return (
    <section class="card log" aria-labelledby="events">
      <div class="card-top">
        <h2 id="events">
          Events <span class="count">{number(log.total)}</span>
        </h2>
        <select
          aria-label="Type of event"
          value={type}
          onChange={(event) => setType(event.currentTarget.value)}
        >
          <option value="">All types</option>
          {[...log.types].sort().map(([name, count]) => (
            <option key={name} value={name}>
              {name} ({number(count)})
            </option>
          ))}
        </select>
        <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
          {paused ? 'Go on' : 'Pause'}
        </button>
      </div>
      {log.gaps > 0 && <output class="problem">Events are missing: see the marked gaps.</output>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="scroll entries" aria-label="Events, newest first, scrollable" tabIndex={0}>
        <ol>
          {entries.map((entry) =>
            entry.kind === 'event' ? (
              <EventRow key={entry.key} event={entry.event} />
            ) : (
              <GapRow key={entry.key} gap={entry.gap} />
            ),
          )}
        </ol>
        {entries.length === 0 && (
          <p class="quiet">{log.total === 0 ? 'No event yet.' : 'None of this type among the newest.'}</p>
        )}
      </section>
      {log.total > KEPT && (
        <p class="quiet">The newest {number(KEPT)} are kept here; the flow’s history has them all.</p>
      )}
    </section>
  )
}

const EventRow = memo(({ event }: { event: FlowEvent }) => {
  const [open, setOpen] = useState(false)
  return (
    <li class="entry">
      <details onToggle={(toggle) => setOpen(toggle.currentTarget.open)}>
        <summary>
          <time dateTime={event.timestamp}>{clock(event.timestamp)}</time>
          <span class="entry-type">{event.type}</span>
          <span class="entry-id">{event.id}</span>
          <code class="entry-preview">{preview(event.payload)}</code>
        </summary>
        {open && (
          <>
            <p class="quiet">
              From {event.source} at {event.timestamp}
            </p>
            <pre>{shorten(JSON.stringify(event.payload, null, 2), PAYLOAD_CHARS)}</pre>
          </>
        )}
      </details>
    </li>
  )
})

/** The payload in one line, with less punctuation than JSON. */
function preview(payload: unknown): string {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    return shorten(JSON.stringify(payload), PREVIEW_CHARS)
  }
  return shorten(
    Object.entries(payload)
      .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join(', '),
    PREVIEW_CHARS,
  )
}

const WHY: Readonly<Record<string, string>> = {
  trimmed: 'their retention has ended',
  lost: 'the store lost them',
  turn: 'the store changed',
  unknown: 'nobody knows why',
}

function GapRow({ gap }: { gap: Gap }) {
  return (
    <li class="entry gap">
      <strong>Gap</strong> {gap.from === gap.to ? gap.from : `${gap.from} to ${gap.to}`}:{' '}
      {WHY[gap.reason] ?? gap.reason}
    </li>
  )
}

function shorten(text: string | undefined, most: number): string {
  if (text === undefined) return ''
  return text.length > most ? `${text.slice(0, most)}…` : text
}
