import { Http } from './http.js'
import type {
  EventMap,
  FlowEvent,
  FlowMeta,
  FlowState,
  FlowSummary,
  Gap,
  Message,
  PublishedEvent,
  StreamStatus,
} from './messages.js'
import type {
  ClientOptions,
  Draft,
  FlowsOptions,
  HistoryOptions,
  HistoryPage,
  PublishOptions,
  SubscribeOptions,
  Watch,
} from './options.js'
import { ClientError } from './problem.js'
import { subscription } from './subscription.js'

interface Call {
  readonly signal?: AbortSignal
}

/** A page as the server sends it: a gap stands among the events, as an event of type `gap`. */
interface Page {
  readonly events: readonly (FlowEvent | FlowEvent<'gap', Gap>)[]
  readonly next: string | null
}

function isGap(event: FlowEvent | FlowEvent<'gap', Gap>): event is FlowEvent<'gap', Gap> {
  return event.type === 'gap'
}

/** A typed client of Spillway's HTTP API, for browsers and Node. Errors: `ClientError` from every call. */
export class SpillwayClient {
  readonly #http: Http
  readonly #options: ClientOptions

  constructor(options: ClientOptions = {}) {
    this.#options = options
    this.#http = new Http(options)
  }

  publish(
    flow: string,
    type: string,
    payload: unknown,
    options: PublishOptions & Omit<Draft, 'type' | 'payload'> = {},
  ): Promise<PublishedEvent> {
    const { durability, signal, ...rest } = options
    return this.#http.json('POST', path(flow, 'events'), {
      query: { durability },
      body: { type, payload, ...rest },
      signal,
    })
  }

  /** All or nothing, numbered in this order; at most 1000. */
  publishMany(
    flow: string,
    drafts: readonly Draft[],
    options: PublishOptions = {},
  ): Promise<PublishedEvent[]> {
    const { durability, signal } = options
    return this.#http.json('POST', path(flow, 'events'), { query: { durability }, body: drafts, signal })
  }

  async history(flow: string, { signal, ...query }: HistoryOptions = {}): Promise<HistoryPage> {
    const page = await this.#http.json<Page>('GET', path(flow, 'events'), { query, signal })
    const gaps = page.events.flatMap((event) => (isGap(event) ? [event.payload] : []))
    return { events: page.events.filter((event) => !isGap(event)), gaps, next: page.next }
  }

  /** The flow's state, or null. */
  state(flow: string, { signal }: Call = {}): Promise<FlowState | null> {
    return orNull(this.#http.json('GET', path(flow, 'state'), { signal }))
  }

  /** Replaces the whole state. */
  async setState(flow: string, state: FlowState, { signal }: Call = {}): Promise<void> {
    await this.#http.json('PUT', path(flow, 'state'), { body: state, signal })
  }

  async clearState(flow: string, { signal }: Call = {}): Promise<void> {
    await this.#http.json('DELETE', path(flow, 'state'), { signal })
  }

  /** Status, phase and progress, or null. */
  meta(flow: string, { signal }: Call = {}): Promise<FlowMeta | null> {
    return orNull(this.#http.json('GET', path(flow, 'meta'), { signal }))
  }

  /** Last active first. */
  flows({ signal, ...query }: FlowsOptions = {}): Promise<FlowSummary[]> {
    return this.#http.json('GET', 'v1/flows', { query, signal })
  }

  /** A short-lived right to open a stream of these flows, to hand to a browser. */
  ticket(
    flows: readonly string[],
    { ttlMs, signal }: Call & { readonly ttlMs?: number } = {},
  ): Promise<{ ticket: string; expiresAt: string }> {
    return this.#http.json('POST', 'v1/tickets', { body: { flows, ttlMs }, signal })
  }

  /**
   * Every event after the cursor once and in order, then live, over every reconnection; a gap stands where events
   * cannot be had. Nothing is read ahead of the loop beyond one network read.
   */
  subscribe<Map extends EventMap = EventMap>(
    flows: string | readonly string[],
    options: SubscribeOptions = {},
  ): AsyncIterableIterator<Message<Map>> {
    const names = typeof flows === 'string' ? [flows] : flows
    const end = new AbortController()
    const { signal, onStatus = () => {} } = options
    const stop = () => end.abort()
    signal?.addEventListener('abort', stop, { once: true })
    if (signal?.aborted) stop()
    const messages = this.#messages<Map>(names, options.after, end.signal, onStatus, () =>
      signal?.removeEventListener('abort', stop),
    )
    return {
      next: () => messages.next(),
      // A generator that waits for the network would answer only after it: end the wait first.
      return: () => {
        stop()
        return messages.return()
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  /** As `subscribe`, by callbacks. A refusal for good, or an error of a callback, comes as status `closed`. */
  watch<Map extends EventMap = EventMap>(
    flows: string | readonly string[],
    { onEvent, onGap, ...options }: Watch<Map>,
  ): { close(): void } {
    const messages = this.subscribe<Map>(flows, options)
    const run = async () => {
      for await (const message of messages) {
        if (message.kind === 'event') await onEvent(message.event, message.cursor)
        else await onGap?.(message.gap, message.cursor)
      }
    }
    // The stream's own errors have gone to onStatus; a callback's error must not vanish.
    run().catch((error: unknown) => {
      if (error instanceof ClientError) return
      options.onStatus?.({
        state: 'closed',
        error: error instanceof Error ? error : new Error(String(error)),
      })
    })
    return { close: () => void messages.return?.() }
  }

  async *#messages<Map extends EventMap>(
    flows: readonly string[],
    after: string | undefined,
    signal: AbortSignal,
    onStatus: (status: StreamStatus) => void,
    release: () => void,
  ): AsyncGenerator<Message<Map>, void, undefined> {
    let error: Error | undefined
    let ticket: string | undefined
    const single = flows.length === 1 ? flows[0] : undefined
    try {
      yield* subscription<Map>({
        flows,
        after,
        signal,
        silenceMs: this.#options.silenceMs ?? 45_000,
        onStatus,
        renew: () => {
          const renewable = this.#options.ticket !== undefined || this.#http.renewable
          ticket = undefined
          return renewable
        },
        request: async ({ after, lastEventId }, cut) => {
          ticket ??= await this.#options.ticket?.(flows)
          return this.#http.send('GET', single === undefined ? 'v1/stream' : path(single, 'stream'), {
            query: { after, ticket },
            lists: single === undefined ? { flows } : {},
            headers: {
              accept: 'text/event-stream',
              ...(lastEventId === undefined ? {} : { 'last-event-id': latin1(lastEventId) }),
            },
            anonymous: ticket !== undefined,
            signal: cut,
          })
        },
      })
    } catch (cause) {
      error = cause instanceof Error ? cause : new Error(String(cause))
      throw cause
    } finally {
      release()
      onStatus({ state: 'closed', error })
    }
  }
}

function path(flow: string, part: string): string {
  return `v1/flows/${encodeURIComponent(flow)}/${part}`
}

/** UTF-8 bytes as the characters that a header may hold. Source: WHATWG HTML, section 9.2.3. */
function latin1(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text))
}

async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ClientError && error.status === 404) return null
    throw error
  }
}
