import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

/** A server whose answers are written by hand: for what a real one does only by accident. */
export interface Wire {
  readonly url: string
  readonly asked: readonly IncomingMessage[]
  close(): Promise<void>
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void

/** Answers the first request with the first answer, and so on; the last one answers all that come after. */
export async function openWire(...answers: readonly Answer[]): Promise<Wire> {
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)]
    asked.push(request)
    answer?.(response, request)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

export const stream = (text: string, { end = false } = {}): Answer => {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    response.write(`retry: 100\n\n${text}`)
    if (end) response.end()
  }
}

export const problem = (
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): Answer => {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers })
    response.end(JSON.stringify({ type: 'about:blank', title: code, status, code, detail: `${code} it is` }))
  }
}

export const json = (value: unknown, status = 200): Answer => {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
}

/** An event as the server writes it. */
export function frame(id: string, type = 'tick', payload: unknown = null, flow = 'f'): string {
  const event = { id, flow, type, payload, source: 'test', timestamp: '2026-01-18T12:00:00.000Z' }
  return `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(event)}\n\n`
}

/** A promise that somebody else resolves. */
export function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

/** Each request on a connection of its own: a pooled one that was cut would fail the next request too. */
export function quick(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const headers = new Headers(init?.headers)
  headers.set('connection', 'close')
  return fetch(input, { ...init, headers })
}
