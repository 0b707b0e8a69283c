import { formatId } from '../events/cursor.js'
import type { Delivery, Item } from '../events/delivery.js'
import { eventJson, GAP_TYPE } from '../events/event.js'

/** WHATWG HTML, 9.2 server-sent events. What is sent as a field never holds CR, LF or NUL. */

/** The comment that keeps a silent stream open. */
export const HEARTBEAT = ':\n\n'

/** Tells the browser how long to wait before it reconnects. */
export function retryFrame(ms: number): string {
  return `retry: ${ms}\n\n`
}

/** Sets the reader's cursor without an event. */
export function idFrame(id: string): string {
  return `id: ${field(id)}\n\n`
}

/** An item's frame without its `id:`, which differs between readers of one flow and of many. */
function body(flow: string, item: Item): string {
  const { event } = item
  const type = event ? event.type : GAP_TYPE
  const data = event ? eventJson(flow, event) : JSON.stringify(item.gap)
  return `event: ${field(type)}\n${dataLines(data)}\n`
}

/** The frames of a delivery for readers of that flow alone, plain and as an HTTP chunk. */
export function singleFrames({ ref, items }: Delivery): { readonly frames: Buffer; readonly chunk: Buffer } {
  let text = ''
  for (const item of items)
    text += `id: ${formatId(item.cursor.term, item.cursor.seq)}\n${body(ref.flow, item)}`
  return { frames: Buffer.from(text), chunk: Buffer.from(chunkText(text)) }
}

/** Frames as one HTTP/1.1 chunk. */
export function chunkText(frames: string): string {
  return `${Buffer.byteLength(frames).toString(16)}\r\n${frames}\r\n`
}

/** The bodies of a delivery, for readers of many flows. */
export function bodies({ ref, items }: Delivery): string[] {
  return items.map((item) => body(ref.flow, item))
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not pass
const UNSAFE = /[\u0000\r\n]/

/** Names are checked when they come in; this is the last guard before the wire. */
function field(text: string): string {
  if (UNSAFE.test(text)) throw new TypeError('An SSE field must not hold CR, LF or NUL')
  return text
}

/** JSON holds line breaks only between its tokens: as several data lines it means the same. */
function dataLines(json: string): string {
  return /[\r\n]/.test(json)
    ? json
        .split(/\r\n|\r|\n/)
        .map((line) => `data: ${line}\n`)
        .join('')
    : `data: ${json}\n`
}
