import type { FlowEvent } from '../../client/index.js'
import { type Counts, count, counts, type Fields, fields, list, text, texts } from './read.js'
import { Throughput } from './throughput.js'

export const DISCOVERY_PHASES = [
  'data_import',
  'field_mapping',
  'asset_inventory',
  'analysis',
  'report',
] as const

const TYPES = new Set([
  'rows_rejected',
  'mapping_proposed',
  'mapping_confirmed',
  'asset_batch',
  'asset_summary',
  'dependency_found',
  'dependency_batch',
  'treatment_summary',
  'report_ready',
])

export interface RejectedRow {
  readonly row: string
  readonly reason: string
  readonly raw: string
}

export interface ProposedColumn {
  readonly column: string
  readonly attribute: string | null
  /** From 0 to 1. */
  readonly confidence: number | undefined
  readonly reasons: readonly string[]
  readonly samples: readonly string[]
}

export interface Proposal {
  /** The event that made it. */
  readonly id: string
  readonly columns: readonly ProposedColumn[]
  readonly attributes: readonly string[]
  /** Columns of the file that are too many to be shown. */
  readonly hidden: number
  /** When the flow goes on without an answer, in ms since the epoch; undefined: it waits as long as it takes. */
  readonly goesOnAt: number | undefined
}

export type Mapping = Readonly<Record<string, string | null>>

const MOST_ROWS = 200
const MOST_NAMES = 5000
const ROW_CHARS = 400

/** What a discovery flow has told about itself; everything is bounded, whatever the file. */
export class Discovery {
  /** True once an event was seen that only a discovery flow has. */
  seen = false
  readonly throughput = new Throughput()
  rejected: RejectedRow[] = []
  rejectedTotal = 0
  proposal: Proposal | undefined
  confirmed: Mapping | undefined
  /** A person's correction that the flow has not confirmed yet. */
  corrected = false
  /** Why the last correction was not taken. */
  refused: string | undefined
  added = 0
  updated = 0
  assets: number | undefined
  byType: Counts = []
  byEnvironment: Counts = []
  dependencies = 0
  /** Dependencies that were told one by one: the flow may tell of a part only. */
  told = 0
  readonly #kinds = new Map<string, number>()
  readonly #targets = new Map<string, number>()
  treatments: Counts = []
  assessed: number | undefined
  report: string | undefined
  failure: string | undefined

  get kinds(): Counts {
    return greatest(this.#kinds, 6)
  }

  /** What most others depend on. */
  get targets(): Counts {
    return greatest(this.#targets, 8)
  }

  apply(event: FlowEvent): void {
    const payload = fields(event.payload)
    if (TYPES.has(event.type) || isPhase(payload.phase)) this.seen = true
    switch (event.type) {
      case 'phase_started':
      case 'phase_progress':
      case 'phase_completed':
        if (payload.phase === 'data_import') this.#measure(event, payload)
        break
      case 'rows_rejected':
        this.#reject(payload)
        break
      case 'mapping_proposed':
        this.proposal = proposal(event, payload)
        this.confirmed = undefined
        this.corrected = false
        this.refused = undefined
        break
      case 'mapping_corrected':
        this.corrected = true
        this.refused = undefined
        break
      case 'mapping_refused':
        this.corrected = false
        this.refused = text(payload.reason) ?? 'The flow did not take the correction'
        break
      case 'mapping_confirmed':
        this.confirmed = mapping(payload.mapping)
        break
      case 'asset_batch':
        this.added += count(payload.added) ?? 0
        this.updated += count(payload.updated) ?? 0
        break
      case 'asset_summary':
        this.assets = count(payload.total)
        this.byType = counts(payload.byType)
        this.byEnvironment = counts(payload.byEnvironment)
        break
      case 'dependency_found':
        this.#edge(payload)
        this.dependencies += 1
        break
      case 'dependency_batch': {
        const edges = list(payload.edges)
        for (const edge of edges) this.#edge(fields(edge))
        this.dependencies = Math.max(
          count(payload.total) ?? 0,
          this.dependencies + (count(payload.total) === undefined ? edges.length : 0),
        )
        break
      }
      case 'treatment_summary':
        this.treatments = counts(payload.byTreatment)
        this.assessed = count(payload.assessed)
        break
      case 'report_ready':
        this.report = text(payload.url)
        break
      case 'flow_failed':
        this.failure = text(payload.reason) ?? 'The flow failed'
        break
      case 'flow_completed':
        this.failure = undefined
        break
    }
  }

  #measure({ type, timestamp }: FlowEvent, payload: Fields): void {
    const at = Date.parse(timestamp)
    if (type === 'phase_started') this.throughput.start(at)
    else if (type === 'phase_progress') this.throughput.add(at, count(payload.done) ?? 0)
    else if (count(payload.rows) !== undefined)
      this.throughput.add(at, (count(payload.rows) ?? 0) + (count(payload.rejected) ?? 0))
  }

  #reject(payload: Fields): void {
    const rows = list(payload.rows)
    this.rejectedTotal = count(payload.total) ?? this.rejectedTotal + rows.length
    for (const row of rows) {
      if (this.rejected.length >= MOST_ROWS) return
      const { row: line, reason, raw } = fields(row)
      this.rejected.push({
        row: text(line) ?? '',
        reason: text(reason) ?? '',
        raw: (text(raw) ?? JSON.stringify(raw) ?? '').slice(0, ROW_CHARS),
      })
    }
  }

  #edge({ to, kind }: Fields): void {
    this.told += 1
    tally(this.#kinds, text(kind))
    // An identity such as `host:db-01`: the kind before the colon says nothing to a reader.
    tally(this.#targets, text(to)?.replace(/^[a-z]+:/, ''))
  }
}

function isPhase(value: unknown): boolean {
  return DISCOVERY_PHASES.some((phase) => phase === value)
}

function proposal(event: FlowEvent, payload: Fields): Proposal {
  const columns = list(payload.columns).flatMap((item) => {
    const column = fields(item)
    const name = text(column.column)
    if (name === undefined) return []
    const { confidence, reasons, samples, attribute } = column
    return [
      {
        column: name,
        attribute: text(attribute) ?? null,
        confidence: count(confidence),
        reasons: texts(reasons),
        samples: texts(samples).slice(0, 3),
      },
    ]
  })
  const patience = count(payload.auto_confirm_ms)
  return {
    id: event.id,
    columns,
    attributes: texts(payload.attributes),
    hidden: count(payload.hidden) ?? 0,
    goesOnAt: patience === undefined ? undefined : Date.parse(event.timestamp) + patience,
  }
}

function mapping(value: unknown): Mapping {
  return Object.fromEntries(
    Object.entries(fields(value)).map(([column, attribute]) => [column, text(attribute) ?? null]),
  )
}

function tally(names: Map<string, number>, name: string | undefined): void {
  if (name === undefined || (names.size >= MOST_NAMES && !names.has(name))) return
  names.set(name, (names.get(name) ?? 0) + 1)
}

function greatest(names: ReadonlyMap<string, number>, most: number): Counts {
  return [...names].sort((a, b) => b[1] - a[1]).slice(0, most)
}
