import { backoff } from './backoff.js'
import { connect } from './connection.js'
import { Continuity } from './continuity.js'
import type { EventMap, EventOf, FlowEvent, Gap, Message, StreamStatus } from './messages.js'
import { ClientError, isRecord } from './problem.js'
import { wait } from './wait.js'

export interface SubscriptionOptions {
  readonly flows: readonly string[]
  readonly after: string | undefined
  readonly signal: AbortSignal
  readonly silenceMs: number
  readonly onStatus: (status: StreamStatus) => void
  /** Opens the stream from a cursor: `lastEventId` if an earlier connection gave one, else `after`. */
  readonly request: (from: { after?: string; lastEventId?: string }, signal: AbortSignal) => Promise<Response>
  /** Forgets credentials that were refused; returns false if there are no others to be had. */
  readonly renew: () => boolean
}

/**
 * A subscription over as many connections as it takes: every event after the cursor once and in order, or a gap
 * in its place. It ends when the signal aborts (quietly) or when the server refuses for good (`ClientError`).
 */
export async function* subscription<Map extends EventMap>(
  options: SubscriptionOptions,
): AsyncGenerator<Message<Map>, void, undefined> {
  const { flows, after, signal, onStatus } = options
  const continuity = new Continuity()
  const only = flows.length === 1 ? flows[0] : undefined
  if (only !== undefined && after !== undefined) continuity.start(only, after)
  let lastEventId = ''
  let baseMs: number | undefined
  let attempt = 0
  let refusals = 0

  for (;;) {
    let failure: ClientError | undefined
    try {
      onStatus({ state: 'connecting', attempt })
      const from = lastEventId !== '' ? { lastEventId } : after !== undefined ? { after } : {}
      const items = connect((cut) => options.request(from, cut), {
        silenceMs: options.silenceMs,
        lastEventId,
        signal,
        onOpen: () => {
          refusals = 0
          onStatus({ state: 'open' })
        },
      })
      for await (const item of items) {
        attempt = 0
        if (item.kind === 'retry') {
          baseMs = item.ms
          continue
        }
        const moved = item.id !== lastEventId
        lastEventId = item.id
        if (item.kind === 'id') {
          if (only !== undefined) continuity.start(only, item.id)
          continue
        }
        if (item.event === 'gap') {
          const gap = readGap(item.data)
          if (continuity.gap(gap, moved ? item.id : undefined)) yield { kind: 'gap', gap, cursor: item.id }
          continue
        }
        const event = readEvent<Map>(item.data)
        const verdict = continuity.event(event)
        if (verdict.gap) yield { kind: 'gap', gap: verdict.gap, cursor: item.id }
        if (!verdict.duplicate) yield { kind: 'event', event, cursor: item.id }
      }
    } catch (error) {
      if (signal.aborted) break
      failure = error instanceof ClientError ? error : undefined
      if (!failure) throw error
      if (failure.status === 401 && refusals === 0 && options.renew()) {
        refusals = 1
        continue
      }
      if (!failure.temporary) throw failure
    }
    if (signal.aborted) break
    attempt += 1
    const retryInMs = backoff(attempt, { baseMs, askedMs: failure?.retryAfterMs })
    onStatus({ state: 'waiting', attempt, retryInMs, error: failure })
    await wait(retryInMs, signal)
    if (signal.aborted) break
  }
}

function readData(data: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch (cause) {
    throw new ClientError('PROTOCOL', 'The stream carried an event that is not JSON', { cause })
  }
  if (!isRecord(value) || typeof value.flow !== 'string') {
    throw new ClientError('PROTOCOL', 'The stream carried an event without a flow')
  }
  return value
}

// The server's word is taken for the shapes below, as any typed client takes it: what is checked is what we compute with.
function readEvent<Map extends EventMap>(data: string): EventOf<Map> & FlowEvent {
  const value = readData(data)
  if (typeof value.id !== 'string' || typeof value.type !== 'string') {
    throw new ClientError('PROTOCOL', 'The stream carried an event without id or type')
  }
  return value as unknown as EventOf<Map> & FlowEvent
}

function readGap(data: string): Gap {
  const value = readData(data)
  if (typeof value.from !== 'string' || typeof value.to !== 'string') {
    throw new ClientError('PROTOCOL', 'The stream carried a gap without its ends')
  }
  return value as unknown as Gap
}
