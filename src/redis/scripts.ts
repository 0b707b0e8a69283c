import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SpillwayError } from '../errors.js'

/** A Lua script with names for what it is given. */
export interface Script {
  /** Unique by its text, so that two scripts never share a definition. */
  readonly name: string
  readonly keys: readonly string[]
  /** The last one may begin with `...`: it takes all arguments from its place on. */
  readonly args: readonly string[]
  readonly lua: string
}

const MAX_LINES = 80

/**
 * Loads the Lua file that lies beside a module. Its first lines name what it is given (`-- KEYS: stream, log`,
 * `-- ARGV: term, ...events`); the names are local variables in it. Errors: `INTERNAL` for a file that breaks the rules.
 */
export function loadScript(beside: string, file: string): Script {
  return parseScript(file, readFileSync(fileURLToPath(new URL(file, beside)), 'utf8'))
}

/** As `loadScript`, for a text. */
export function parseScript(file: string, text: string): Script {
  const wrong = (what: string) => new SpillwayError('INTERNAL', `The script ${file} ${what}`)
  const lines = text.trimEnd().split('\n')
  if (lines.length > MAX_LINES) throw wrong(`has more than ${MAX_LINES} lines`)
  const keys = names(lines[0], 'KEYS')
  const args = names(lines[1], 'ARGV')
  if (!keys || !args) throw wrong('must begin with lines "-- KEYS: …" and "-- ARGV: …"')
  const body = lines.slice(2).join('\n')
  if (/\b(KEYS|ARGV)\b/.test(body.replace(/--.*$/gm, ''))) throw wrong('uses KEYS or ARGV besides its names')
  const rest = args.findIndex((name) => name.startsWith('...'))
  if (rest >= 0 && rest < args.length - 1) throw wrong(`has arguments behind ${args[rest]}`)
  const all = [...keys, ...args].map((name) => name.replace('...', ''))
  if (new Set(all).size < all.length || !all.every((name) => /^[a-z][a-z0-9_]*$/.test(name)))
    throw wrong('has names that are not distinct words')
  const prelude = [
    ...keys.map((name, i) => `local ${name} = KEYS[${i + 1}]`),
    ...args.map((name, i) =>
      name.startsWith('...')
        ? // Not unpack: it has room for some thousands only.
          `local ${name.slice(3)} = {} for i = ${i + 1}, #ARGV do ${name.slice(3)}[i - ${i}] = ARGV[i] end`
        : `local ${name} = ARGV[${i + 1}]`,
    ),
  ].join(' ')
  const lua = `${prelude}\n${body}`
  const name = `${file.replace(/\W/g, '_')}_${createHash('sha1').update(lua).digest('hex').slice(0, 8)}`
  return { name, keys, args, lua }
}

function names(line: string | undefined, kind: string): string[] | undefined {
  const match = line?.match(new RegExp(`^-- ${kind}:(.*)$`))
  return match?.[1]
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}
