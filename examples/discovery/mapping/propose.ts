import { ATTRIBUTE_NAMES, type Attribute, type Mapping } from './attributes.js'
import { matchName } from './headers.js'
import { type ColumnValues, matchReferences, matchValues, type ValueMatch } from './values.js'

/** What is proposed for one column. */
export interface ColumnProposal {
  readonly column: string
  readonly attribute: Attribute | null
  /** 0 to 1. */
  readonly confidence: number
  readonly reasons: readonly string[]
  readonly samples: readonly string[]
}

interface Candidate {
  readonly column: number
  readonly attribute: Attribute
  readonly confidence: number
  readonly reasons: readonly string[]
}

/** Below this a column is left out and shown to the person. */
const LEAST_CONFIDENCE = 0.4
const SAMPLES = 5
const MAX_SAMPLE_CHARS = 60

/**
 * Proposes an attribute for each column, by its header and by its values. The surest pairs are taken first;
 * each attribute goes to one column.
 */
export function proposeMapping(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): ColumnProposal[] {
  const values = columns.map((_, i) => columnValues(rows, i))
  const known = values.map((column) => new Set(column.values.map((value) => value.toLowerCase())))
  const candidates: Candidate[] = []
  for (const [i, header] of columns.entries()) {
    const column = values[i]
    if (column === undefined) continue
    for (const attribute of ATTRIBUTE_NAMES) {
      const match =
        attribute === 'dependencies' ? references(column, known, i) : matchValues(column, attribute)
      const candidate = weigh(header, i, attribute, match)
      if (candidate.confidence >= LEAST_CONFIDENCE) candidates.push(candidate)
    }
  }
  candidates.sort((a, b) => b.confidence - a.confidence || a.column - b.column)
  const byColumn = new Map<number, Candidate>()
  const taken = new Map<Attribute, number>()
  for (const candidate of candidates) {
    if (byColumn.has(candidate.column) || taken.has(candidate.attribute)) continue
    byColumn.set(candidate.column, candidate)
    taken.set(candidate.attribute, candidate.column)
  }
  return columns.map((column, i) => {
    const chosen = byColumn.get(i)
    const samples = sampleOf(values[i]?.values ?? [])
    if (chosen !== undefined) {
      const { attribute, confidence, reasons } = chosen
      return { column, attribute, confidence: round(confidence), reasons, samples }
    }
    const lost = candidates.find((candidate) => candidate.column === i)
    const rival = lost === undefined ? undefined : columns[taken.get(lost.attribute) ?? -1]
    const reason =
      samples.length === 0
        ? 'the column is empty'
        : lost === undefined
          ? 'neither the header nor the values fit an attribute'
          : `would fit ${lost.attribute}, but "${rival}" fits it better`
    return { column, attribute: null, confidence: 0, reasons: [reason], samples }
  })
}

export function mappingOf(proposals: readonly ColumnProposal[]): Mapping {
  return Object.fromEntries(proposals.map(({ column, attribute }) => [column, attribute]))
}

function weigh(header: string, column: number, attribute: Attribute, values: ValueMatch | null): Candidate {
  const name = matchName(header, attribute)
  const reasons: string[] = []
  let confidence = 0
  if (name !== null && name.score >= 0.3) {
    reasons.push(name.reason)
    confidence = 0.88 * name.score
  }
  if (values !== null && values.score > 0.1) {
    reasons.push(values.reason)
    confidence = 1 - (1 - confidence) * (1 - values.score)
  }
  if (values?.strict === true && confidence > 0) {
    reasons.push(`but only ${values.reason}`)
    confidence *= 0.4
  }
  return { column, attribute, confidence, reasons }
}

function references(
  column: ColumnValues,
  known: readonly ReadonlySet<string>[],
  own: number,
): ValueMatch | null {
  return matchReferences(column, (value) => known.some((set, i) => i !== own && set.has(value)))
}

function columnValues(rows: readonly (readonly string[])[], column: number): ColumnValues {
  const values: string[] = []
  for (const row of rows) {
    const value = row[column]?.trim() ?? ''
    if (value !== '' && !/^(n\/?a|null|none|-+|\?+|unknown|unbekannt|tbd)$/i.test(value)) values.push(value)
  }
  const distinct =
    values.length === 0 ? 0 : new Set(values.map((value) => value.toLowerCase())).size / values.length
  return { values, distinct }
}

function sampleOf(values: readonly string[]): string[] {
  const different = new Set<string>()
  for (const value of values) {
    if (different.size === SAMPLES) break
    different.add(value.slice(0, MAX_SAMPLE_CHARS).toWellFormed())
  }
  return [...different]
}

function round(confidence: number): number {
  return Math.round(Math.min(confidence, 0.99) * 100) / 100
}
