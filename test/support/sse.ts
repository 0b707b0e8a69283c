import { type IncomingMessage, request } from 'node:http'
import { createParser } from 'eventsource-parser'

/** An event as it stood on the wire. */
export interface Frame {
  readonly id: string | undefined
  readonly event: string | undefined
  readonly data: string
}

/** A reader of a server-sent event stream that can also misbehave. */
export interface SseReader {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly frames: readonly Frame[]
  readonly comments: readonly string[]
  /** The last id on the wire, of an event or alone in its frame: what a browser would resume from. */
  readonly lastEventId: string
  readonly retryMs: number | undefined
  /** Ends with the connection, whoever ended it. */
  readonly closed: Promise<void>
  /** The whole answer so far, as text. */
  text(): string
  ids(): string[]
  /** Resolves once `condition` holds; looked at after every chunk. Errors: the stream ended before. */
  until(condition: (reader: SseReader) => boolean): Promise<void>
  /** Reads nothing more from the socket. */
  stop(): void
  resume(): void
  close(): void
}

export interface StreamOptions {
  readonly lastEventId?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly onFrame?: (frame: Frame) => void
  readonly keepText?: boolean
}

/** Opens a stream over a socket of its own and resolves with the answer's head. */
export async function openStream(url: string, options: StreamOptions = {}): Promise<SseReader> {
  const { lastEventId, headers = {}, onFrame, keepText = false } = options
  const asked = request(url, {
    agent: false,
    headers: {
      accept: 'text/event-stream',
      ...(lastEventId === undefined || lastEventId === '' ? {} : { 'last-event-id': lastEventId }),
      ...headers,
    },
  })
  asked.end()
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    asked.once('response', resolve)
    asked.once('error', reject)
  })
  asked.on('error', () => answer.destroy())

  const frames: Frame[] = []
  const comments: string[] = []
  const waiting = new Set<() => void>()
  let text = ''
  let tail = ''
  let last = lastEventId ?? ''
  let retryMs: number | undefined
  let over = false
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      const frame = { id, event, data }
      frames.push(frame)
      onFrame?.(frame)
    },
    onComment: (comment) => comments.push(comment),
    onRetry: (ms) => {
      retryMs = ms
    },
  })
  answer.setEncoding('utf8')
  answer.on('data', (chunk: string) => {
    if (keepText) text += chunk
    parser.feed(chunk)
    // The parser keeps the id of a frame without data to itself, a browser does not.
    const blocks = (tail + chunk).split('\n\n')
    tail = blocks.pop() ?? ''
    for (const block of blocks) last = /^id: ?(.*)$/m.exec(block)?.[1] ?? last
    for (const look of waiting) look()
  })
  answer.on('error', () => {})
  const closed = new Promise<void>((resolve) => {
    answer.once('close', () => {
      over = true
      for (const look of waiting) look()
      resolve()
    })
  })

  const reader: SseReader = {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    frames,
    comments,
    closed,
    get lastEventId() {
      return last
    },
    get retryMs() {
      return retryMs
    },
    text: () => text,
    ids: () => frames.map(({ id }) => id ?? ''),
    until: (condition) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const holds = condition(reader)
          if (!holds && !over) return
          waiting.delete(look)
          if (holds) resolve()
          else reject(new Error(`the stream ended after ${frames.length} events`))
        }
        waiting.add(look)
        look()
      }),
    stop: () => void answer.pause(),
    resume: () => void answer.resume(),
    close: () => void answer.destroy(),
  }
  return reader
}
