import { ATTRIBUTES, type Attribute } from './attributes.js'

/** How well a header names an attribute, 0 to 1, and why. */
export interface NameMatch {
  readonly score: number
  readonly reason: string
}

/** Words that carry no meaning in a header. */
const FILLER = new Set([
  'the',
  'of',
  'in',
  'der',
  'des',
  'die',
  'u',
  'cmdb',
  'primary',
  'total',
  'nr',
  'value',
  'x',
  'field',
])

/** A header as lower-case words without accents, units in brackets or punctuation: `IP-Adresse (v4)` is `ip adresse`. */
export function words(header: string): string[] {
  return header
    .replace(/[([{][^)\]}]*[)\]}]/g, ' ')
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replaceAll('ß', 'ss')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
}

const SYNONYMS = Object.entries(ATTRIBUTES).flatMap(([attribute, names]) =>
  names.map((name) => ({ attribute, name, words: meaning(name), joined: meaning(name).join('') })),
)

/** The words of a header that carry its meaning; all of them if none does. */
function meaning(header: string): string[] {
  const all = words(header)
  const kept = all.filter((word) => !FILLER.has(word))
  return kept.length > 0 ? kept : all
}

export function matchName(header: string, attribute: Attribute): NameMatch | null {
  const own = meaning(header)
  const joined = own.join('')
  if (joined === '') return null
  let best: NameMatch | null = null
  for (const synonym of SYNONYMS) {
    if (synonym.attribute !== attribute) continue
    const found = compare(own, joined, synonym)
    if (found !== null && found.score > (best?.score ?? 0)) best = found
  }
  return best
}

function compare(
  own: readonly string[],
  joined: string,
  synonym: (typeof SYNONYMS)[number],
): NameMatch | null {
  if (joined === synonym.joined) return { score: 1, reason: `the header reads "${synonym.name}"` }
  const shared = synonym.words.filter((word) => own.includes(word)).length
  if (shared === synonym.words.length) {
    // "server ip address" has all of "ip address": the more of the header it explains, the surer.
    const score = 0.55 + 0.4 * (shared / own.length)
    return { score, reason: `the header has the words of "${synonym.name}"` }
  }
  const likeness = 1 - editDistance(joined, synonym.joined) / Math.max(joined.length, synonym.joined.length)
  if (joined.length >= 4 && synonym.joined.length >= 4 && likeness >= 0.75) {
    return { score: 0.85 * likeness, reason: `the header looks like "${synonym.name}"` }
  }
  if (shared > 0 && synonym.words.length > 1) {
    const score = 0.4 * (shared / Math.max(own.length, synonym.words.length))
    return { score, reason: `the header shares a word with "${synonym.name}"` }
  }
  return null
}

/** Least number of characters to insert, delete, replace or swap with the next one. */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] ?? 0) + 1)
      row.push(least)
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}
