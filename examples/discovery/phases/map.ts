import { checkSignal, DiscoveryError } from '../errors.js'
import { ATTRIBUTE_NAMES, type Mapping } from '../mapping/attributes.js'
import { checkIdentity, correctMapping } from '../mapping/correct.js'
import { type ColumnProposal, mappingOf, proposeMapping } from '../mapping/propose.js'
import type { Row } from '../read/records.js'
import type { Run } from '../run.js'
import { readJournal } from '../work/journal.js'

/** Rows looked at, spread over the file, and columns shown in one event. */
const SAMPLE_ROWS = 2000
const SHOWN_COLUMNS = 50

/** Proposes what each column means and waits for a person, for a while. */
export async function mapFields(run: Run): Promise<void> {
  const { voice } = run
  await voice.begin('field_mapping')
  const columns = proposeMapping(run.at.format.columns, await sampleRows(run))
  const shown = [...columns]
    .sort((a, b) => Number(b.attribute !== null) - Number(a.attribute !== null))
    .slice(0, SHOWN_COLUMNS)
  const proposal = {
    columns: columns.length > SHOWN_COLUMNS ? shown : columns,
    attributes: ATTRIBUTE_NAMES,
    hidden: columns.length - shown.length,
    auto_confirm_ms: Number.isFinite(run.autoConfirmMs) ? run.autoConfirmMs : null,
  }
  const proposed = await voice.say('mapping_proposed', proposal, 'mapping_proposed')
  await voice.state('waiting', 'field_mapping', 42)
  const { mapping, by } = await decide(run, columns, proposed.id)
  checkIdentity(mapping)
  await voice.say('mapping_confirmed', { mapping, by }, 'mapping_confirmed')
  const mapped = Object.values(mapping).filter((attribute) => attribute !== null).length
  await voice.end('field_mapping', { columns: columns.length, mapped })
  await run.save({ phase: 'asset_inventory', mapping })
}

interface Decision {
  readonly mapping: Mapping
  readonly by: 'person' | 'timeout'
}

/**
 * The first word on the mapping after the proposal: an earlier confirmation (of a process that was killed before
 * it could note it down), a person's correction, or nobody's within the time.
 */
async function decide(run: Run, columns: readonly ColumnProposal[], proposedId: string): Promise<Decision> {
  const proposal = mappingOf(columns)
  const over = new AbortController()
  const stop = run.signal === undefined ? over.signal : AbortSignal.any([run.signal, over.signal])
  let timer = startTimer(over, run.autoConfirmMs)
  if (run.autoConfirmMs > 0) run.voice.note(waiting(run.autoConfirmMs))
  try {
    for await (const event of run.flow.subscribe({ after: proposedId, signal: stop })) {
      if (event.type === 'mapping_confirmed') return earlier(event.payload, proposal)
      if (event.type !== 'mapping_corrected') continue
      clearTimeout(timer)
      try {
        return { mapping: correctMapping(proposal, event.payload), by: 'person' }
      } catch (error) {
        if (!(error instanceof DiscoveryError)) throw error
        await run.voice.say(
          'mapping_refused',
          { reason: error.message, event: event.id },
          `refused:${event.id}`,
        )
        timer = startTimer(over, run.autoConfirmMs)
      }
    }
  } catch (error) {
    if (!over.signal.aborted) throw error
  } finally {
    clearTimeout(timer)
  }
  checkSignal(run.signal)
  return { mapping: proposal, by: 'timeout' }
}

function startTimer(over: AbortController, ms: number): NodeJS.Timeout | undefined {
  return Number.isFinite(ms) ? setTimeout(() => over.abort(), ms) : undefined
}

function earlier(payload: unknown, proposal: Mapping): Decision {
  const by =
    typeof payload === 'object' && payload !== null && 'by' in payload && payload.by === 'person'
      ? 'person'
      : 'timeout'
  return { mapping: correctMapping(proposal, payload), by }
}

function waiting(ms: number): string {
  const time = Number.isFinite(ms)
    ? `for ${Math.round(ms / 1000)} s, then it goes on`
    : 'until a person confirms'
  return `waits ${time}: the mapping can be corrected on the page`
}

async function sampleRows(run: Run): Promise<(readonly string[])[]> {
  const step = Math.max(1, Math.ceil(run.at.imported.rows / SAMPLE_ROWS))
  const sample: (readonly string[])[] = []
  let at = 0
  for await (const batch of readJournal<Row>(run.folder.rows, 1000)) {
    for (const { value } of batch) if (at++ % step === 0) sample.push(value.fields)
  }
  return sample
}
