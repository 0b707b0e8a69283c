/** What a server-sent event stream says, in its order. */
export type SseItem =
  | { readonly kind: 'event'; readonly event: string; readonly data: string; readonly id: string }
  /** A frame without data: it only moves the cursor. */
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'retry'; readonly ms: number }

/** An event that is longer than the reader is willing to hold. */
export class SseOverflow extends Error {
  override readonly name = 'SseOverflow'
}

const NEWLINE = /[\r\n]/g

/**
 * Reads a server-sent event stream from bytes that arrive in any pieces.
 *
 * Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream". An event that the stream's end cuts off
 * is never reported. Errors: `SseOverflow` when one event is longer than `maxChars`.
 */
export class SseParser {
  // Decodes pieces that end inside a character. The leading byte order mark is removed here: decoders of some
  // Node versions remove two when the first one comes in pieces.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #begun = false
  readonly #maxChars: number
  /** Pieces of the line that has not ended yet: joined once, so that a long line costs no more than its length. */
  #line: string[] = []
  #lineChars = 0
  /** The last character was a CR, so that an LF now belongs to it. */
  #afterCarriageReturn = false
  #data: string[] = []
  #dataChars = 0
  #event = ''
  #id: string
  #reportedId: string

  constructor(options: { maxChars?: number; lastEventId?: string } = {}) {
    this.#maxChars = options.maxChars ?? 32 * 1024 * 1024
    this.#id = options.lastEventId ?? ''
    this.#reportedId = this.#id
  }

  push(bytes: Uint8Array): SseItem[] {
    const text = this.#decode(bytes)
    const items: SseItem[] = []
    let start = 0
    if (this.#afterCarriageReturn && text.length > 0) {
      this.#afterCarriageReturn = false
      if (text[0] === '\n') start = 1
    }
    for (;;) {
      NEWLINE.lastIndex = start
      const match = NEWLINE.exec(text)
      if (!match) break
      const line = text.slice(start, match.index)
      this.#take(this.#line.length === 0 ? line : this.#line.join('') + line, items)
      this.#line = []
      this.#lineChars = 0
      start = match.index + 1
      if (match[0] === '\r') {
        if (start === text.length) this.#afterCarriageReturn = true
        else if (text[start] === '\n') start += 1
      }
    }
    if (start < text.length) {
      this.#line.push(text.slice(start))
      this.#lineChars += text.length - start
      this.#checkSize()
    }
    return items
  }

  #decode(bytes: Uint8Array): string {
    const text = this.#decoder.decode(bytes, { stream: true })
    if (this.#begun || text === '') return text
    this.#begun = true
    return text.startsWith('\uFEFF') ? text.slice(1) : text
  }

  #take(line: string, items: SseItem[]): void {
    if (line === '') {
      this.#dispatch(items)
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? line : line.slice(0, colon)
    const rest = colon < 0 ? '' : line.slice(colon + 1)
    const value = rest.startsWith(' ') ? rest.slice(1) : rest
    switch (field) {
      case 'data':
        this.#data.push(value)
        this.#dataChars += value.length + 1
        this.#checkSize()
        return
      case 'event':
        this.#event = value
        return
      case 'id':
        if (!value.includes('\0')) this.#id = value
        return
      case 'retry':
        if (/^[0-9]+$/.test(value)) items.push({ kind: 'retry', ms: Number(value) })
        return
    }
  }

  #dispatch(items: SseItem[]): void {
    if (this.#data.length > 0) {
      items.push({
        kind: 'event',
        event: this.#event || 'message',
        data: this.#data.join('\n'),
        id: this.#id,
      })
    } else if (this.#id !== this.#reportedId) {
      items.push({ kind: 'id', id: this.#id })
    }
    this.#reportedId = this.#id
    this.#event = ''
    this.#data = []
    this.#dataChars = 0
  }

  #checkSize(): void {
    if (this.#lineChars + this.#dataChars > this.#maxChars) {
      throw new SseOverflow(`An event is longer than ${this.#maxChars} characters`)
    }
  }
}
