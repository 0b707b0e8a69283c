import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SpillwayError } from '../errors.js'
import { misuse } from './errors.js'
import { slotOf, tagOf } from './slots.js'

/** A Lua script with names for what it is given. */
export interface Script {
  /** The file it comes from, for messages. */
  readonly name: string
  readonly lua: string
  readonly sha: string
  /** Names in their order; the last may begin with `...` and takes what is left, as a table. */
  readonly keys: readonly string[]
  readonly argv: readonly string[]
}

/** A script is one thought. */
const MAX_LINES = 100
const WORD = /^[a-z][a-z0-9_]*$/
const RESERVED = new Set(
  'and break do else elseif end false for function if in local nil not or repeat return then true until while redis'.split(
    ' ',
  ),
)

/**
 * Loads the Lua file `file` that lies beside the module `beside` (its `import.meta.url`). Its first two lines name
 * what it is given, `-- KEYS: stream, log` and `-- ARGV: term, ...events`; the names are locals in it.
 * Errors: `INTERNAL` for a file that breaks the rules.
 */
export function loadScript(beside: string, file: string): Script {
  return parseScript(file, readFileSync(new URL(file, beside), 'utf8'))
}

/** As `loadScript`, for a text. */
export function parseScript(name: string, text: string): Script {
  const fail = (what: string) => new SpillwayError('INTERNAL', `The script ${name} ${what}`)
  const lines = text.trimEnd().split('\n')
  if (lines.length > MAX_LINES) throw fail(`has more than ${MAX_LINES} lines`)
  const [first = '', second = '', ...body] = lines
  const keys = namesIn(first, 'KEYS')
  const argv = namesIn(second, 'ARGV')
  if (!keys || !argv) throw fail('must begin with the lines "-- KEYS: …" and "-- ARGV: …"')
  if (keys.length === 0) throw fail('must have a key: a Cluster finds its server by it')
  const names = [...keys, ...argv].map(bare)
  const wrong = names.find((word) => !WORD.test(word) || RESERVED.has(word))
  if (wrong !== undefined) throw fail(`cannot use "${wrong}" as a name`)
  if (new Set(names).size < names.length) throw fail('uses a name twice')
  if ([...keys.slice(0, -1), ...argv.slice(0, -1)].some(isRest)) throw fail('has names behind a "..."')
  // Comments and texts may speak of anything.
  const code = body.join('\n').replace(/--[^\n]*|'[^'\n]*'|"[^"\n]*"/g, ' ')
  const header = /^-- ([A-Z]+):/m.exec(body.join('\n'))
  if (header) throw fail(`has an unknown header ${header[1]}`)
  if (/\b(?:KEYS|ARGV)\b/.test(code)) throw fail('uses KEYS or ARGV beside their names')
  const unused = names.find((word) => !new RegExp(`\\b${word}\\b`).test(code))
  if (unused !== undefined) throw fail(`does not use ${unused}`)
  // One line for one: the line numbers in the server's messages are those of the file.
  const lua = [locals(keys, 'KEYS'), locals(argv, 'ARGV'), ...body, ''].join('\n')
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex'), keys, argv }
}

/** Refuses a call that does not fit the script's names. Errors: `INTERNAL`. */
export function checkNames(script: Script, keys: readonly string[], args: readonly unknown[]): void {
  if (!fits(script.keys, keys) || !fits(script.argv, args)) {
    throw misuse(`${script.name} takes (${script.keys}) and (${script.argv})`)
  }
}

/** Refuses a call that does not fit the script's names, or whose keys a Cluster would refuse. Errors: `INTERNAL`. */
export function checkCall(script: Script, keys: readonly string[], args: readonly unknown[]): void {
  checkNames(script, keys, args)
  const [first = '', ...others] = keys
  // On every kind of server: else a mistake shows only where a Cluster is in use.
  const tag = tagOf(first)
  if (others.some((key) => tagOf(key) !== tag && slotOf(key) !== slotOf(first)))
    throw misuse(`CROSSSLOT the keys of ${script.name} lie apart`)
}

function fits(names: readonly string[], values: readonly unknown[]): boolean {
  const open = isRest(names.at(-1) ?? '')
  return open ? values.length >= names.length - 1 : values.length === names.length
}

function namesIn(line: string, kind: 'KEYS' | 'ARGV'): string[] | undefined {
  if (!line.startsWith(`-- ${kind}:`)) return undefined
  const names = line.slice(kind.length + 4).trim()
  return names === '' ? [] : names.split(',').map((name) => name.trim())
}

function locals(names: readonly string[], from: 'KEYS' | 'ARGV'): string {
  const single = names.filter((name) => !isRest(name))
  const rest = names.at(-1)
  const parts: string[] = []
  if (single.length > 0)
    parts.push(`local ${single.join(', ')} = ${single.map((_, i) => `${from}[${i + 1}]`).join(', ')}`)
  if (rest !== undefined && isRest(rest)) {
    const [name, skip] = [bare(rest), single.length]
    // Not unpack, which fails beyond some thousand values.
    parts.push(`local ${name} = {} for i = ${skip + 1}, #${from} do ${name}[i - ${skip}] = ${from}[i] end`)
  }
  return parts.join(' ')
}

const isRest = (name: string) => name.startsWith('...')
const bare = (name: string) => name.replace(/^\.\.\./, '')
