import { SpillwayError } from '../errors.js'

/** Levels of arrays and objects within each other; writers of JSON in most languages recurse. */
const MAX_DEPTH = 200

const UTF8 = new TextDecoder('utf-8', { fatal: true })

/** A body as text. Errors: `INVALID_JSON` if it is not UTF-8. */
export function decodeBody(body: Buffer): string {
  try {
    return UTF8.decode(body)
  } catch (error) {
    throw new SpillwayError('INVALID_JSON', 'The body is not valid UTF-8', { cause: error })
  }
}

/** Errors: `INVALID_JSON`, also for what is nested deeper than 200 levels. */
export function parseJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new SpillwayError(
      'INVALID_JSON',
      `The body is not JSON: ${(error as Error).message.slice(0, 200)}`,
      {
        cause: error,
      },
    )
  }
  if (new Scan(text).depth() > MAX_DEPTH) {
    throw new SpillwayError('INVALID_JSON', `The body is nested deeper than ${MAX_DEPTH} levels`)
  }
  return value
}

/** True if a number in it is beyond what JavaScript can hold, as 1e400 is: it would be written back as null. */
export function hasInfinite(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value)
  return typeof value === 'object' && value !== null && Object.values(value).some(hasInfinite)
}

/**
 * The text of one member's value in each object of `json` (an object, or an array of them), without the
 * whitespace between tokens: numbers that JavaScript cannot hold stay what they were. `json` has been parsed
 * before, so it is well-formed; of a repeated name the last one counts, as for JSON.parse.
 */
export function memberTexts(json: string, name: string): (string | undefined)[] {
  const scan = new Scan(json)
  scan.space()
  if (scan.peek() !== '[') return [scan.member(name)]
  const texts: (string | undefined)[] = []
  scan.at += 1
  for (scan.space(); scan.peek() !== ']'; scan.space()) {
    texts.push(scan.member(name))
    scan.space()
    if (scan.peek() === ',') scan.at += 1
  }
  return texts
}

/** A walk over well-formed JSON. */
class Scan {
  at = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  peek(): string | undefined {
    return this.#text[this.at]
  }

  space(): void {
    while (isSpace(this.#text.charCodeAt(this.at))) this.at += 1
  }

  /** Behind the object that begins here; answers the text of the member's value. */
  member(name: string): string | undefined {
    let found: string | undefined
    this.at += 1
    for (this.space(); this.peek() !== '}'; this.space()) {
      if (this.peek() === ',') {
        this.at += 1
        this.space()
      }
      const start = this.at
      this.string()
      const key: unknown = JSON.parse(this.#text.slice(start, this.at))
      this.space()
      this.at += 1
      this.space()
      const value = this.value(key === name)
      if (key === name) found = value
    }
    this.at += 1
    return found
  }

  /** Behind the value that begins here; answers its text if it is wanted. */
  value(wanted: boolean): string {
    const text = this.#text
    let kept = ''
    let from = this.at
    let depth = 0
    for (;;) {
      const char = text.charCodeAt(this.at)
      if (char === QUOTE) this.string()
      else if (char === OPEN_ARRAY || char === OPEN_OBJECT) {
        depth += 1
        this.at += 1
      } else if (
        depth === 0 &&
        (char === COMMA || char === CLOSE_ARRAY || char === CLOSE_OBJECT || Number.isNaN(char))
      ) {
        return wanted ? kept + text.slice(from, this.at) : ''
      } else if (char === CLOSE_ARRAY || char === CLOSE_OBJECT) {
        depth -= 1
        this.at += 1
      } else if (isSpace(char)) {
        if (wanted) kept += text.slice(from, this.at)
        this.space()
        from = this.at
      } else this.at += 1
    }
  }

  /** Levels of the whole text. */
  depth(): number {
    let depth = 0
    let deepest = 0
    while (this.at < this.#text.length) {
      const char = this.#text.charCodeAt(this.at)
      if (char === QUOTE) {
        this.string()
        continue
      }
      if (char === OPEN_ARRAY || char === OPEN_OBJECT) deepest = Math.max(deepest, ++depth)
      else if (char === CLOSE_ARRAY || char === CLOSE_OBJECT) depth -= 1
      this.at += 1
    }
    return deepest
  }

  /** Behind the string that begins here. */
  string(): void {
    const text = this.#text
    let end = this.at + 1
    for (;;) {
      end = text.indexOf('"', end)
      let backslashes = 0
      while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes += 1
      end += 1
      if (backslashes % 2 === 0) break
    }
    this.at = end
  }
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

function isSpace(char: number): boolean {
  return char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09
}
