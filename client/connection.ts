import { ClientError, networkError, problemOf } from './problem.js'
import { type SseItem, SseOverflow, SseParser } from './sse.js'

export interface ConnectionOptions {
  /** Silence in ms after which the connection counts as dead: a lost network is not always told. */
  readonly silenceMs: number
  readonly lastEventId: string
  readonly signal: AbortSignal
  readonly onOpen: () => void
}

/**
 * One connection: opens it and yields what it says until it ends. It reads on only when the caller asks, so a
 * slow caller slows the server down instead of filling memory here; the watch for silence runs only while reading.
 * Errors: `ClientError`.
 */
export async function* connect(
  request: (signal: AbortSignal) => Promise<Response>,
  { silenceMs, lastEventId, signal, onOpen }: ConnectionOptions,
): AsyncGenerator<SseItem, void, undefined> {
  const abort = new AbortController()
  const stop = () => abort.abort(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  const unlessSilent = async <T>(work: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => abort.abort(new Error(`Nothing came for ${silenceMs} ms`)), silenceMs)
    try {
      return await work
    } catch (cause) {
      throw cause instanceof ClientError
        ? cause
        : networkError(abort.signal.aborted ? abort.signal.reason : cause)
    } finally {
      clearTimeout(timer)
    }
  }
  try {
    const response = await unlessSilent(request(abort.signal))
    if (!response.ok) throw await unlessSilent(problemOf(response))
    const type = response.headers.get('content-type') ?? ''
    if (!/^text\/event-stream\s*(;|$)/i.test(type) || response.body === null) {
      // A captive portal or a proxy's own page: not our server, so it says nothing about our right to read.
      throw new ClientError('PROTOCOL', `Expected an event stream, got ${type || 'nothing'}`)
    }
    onOpen()
    const reader = response.body.getReader()
    const parser = new SseParser({ lastEventId })
    for (;;) {
      const { done, value } = await unlessSilent(reader.read())
      if (done) return
      yield* parse(parser, value)
    }
  } finally {
    signal.removeEventListener('abort', stop)
    abort.abort()
  }
}

function parse(parser: SseParser, bytes: Uint8Array): SseItem[] {
  try {
    return parser.push(bytes)
  } catch (error) {
    if (!(error instanceof SseOverflow)) throw error
    // The same event would come again: a repeat cannot help.
    throw new ClientError('PAYLOAD_TOO_LARGE', error.message, { status: 413, cause: error })
  }
}
