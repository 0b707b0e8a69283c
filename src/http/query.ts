import { SpillwayError } from '../errors.js'

/** A query string, each name and value decoded once. */
export type Query = ReadonlyMap<string, string>

/**
 * Reads a query string. A name that stands twice is refused: which one counts would be a guess.
 * `lists` are the names whose values are comma-separated; they are kept as they stand, for `splitList`.
 * Errors: `INVALID_ARGUMENT`.
 */
export function parseQuery(url: string, lists: ReadonlySet<string>): Query {
  const query = new Map<string, string>()
  const start = url.indexOf('?')
  if (start < 0) return query
  for (const part of url.slice(start + 1).split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decode(equals < 0 ? part : part.slice(0, equals))
    const text = equals < 0 ? '' : part.slice(equals + 1)
    const known = query.get(name)
    if (known !== undefined && !lists.has(name)) {
      throw new SpillwayError('INVALID_ARGUMENT', `The query parameter "${name.slice(0, 64)}" stands twice`)
    }
    if (!lists.has(name)) query.set(name, decode(text))
    else query.set(name, known === undefined ? text : `${known},${text}`)
  }
  return query
}

/**
 * The parts of a comma-separated list as it stands in the query: each percent-encoded once, the commas bare.
 * Many programs encode the whole value, commas too: where no bare comma stands, encoded ones part the list.
 * A single name with a comma in it is told from that by a bare comma behind it: `a%2Cb,`.
 */
export function splitList(text: string): string[] {
  const parts = text.includes(',') ? text.split(',').map(decode) : decode(text).split(',')
  return parts.filter((part, i) => part !== '' || i < parts.length - 1)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (error) {
    throw new SpillwayError('INVALID_ARGUMENT', 'The query has a broken percent-encoding', { cause: error })
  }
}
