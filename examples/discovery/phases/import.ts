import { DiscoveryError } from '../errors.js'
import type { BadRow } from '../read/records.js'
import { Table } from '../read/table.js'
import { everySoOften, type Run } from '../run.js'
import { Journal } from '../work/journal.js'

const SHOWN_ROWS = 50
const SHOWN_CHARS = 200

/** Reads the file in batches into a journal of rows and one of rejected rows. */
export async function importRows(run: Run): Promise<void> {
  const { voice, folder } = run
  await voice.begin('data_import')
  const { format, source, batchLines } = run.at
  const table = await Table.open(source.path, format, run.at.imported.place)
  const rows = await Journal.open(folder.rows, run.at.imported.rowsBytes)
  const rejected = await Journal.open(folder.rejected, run.at.imported.rejectedBytes)
  const due = everySoOften()
  let done = run.at.imported
  const save = async () => {
    await rows.sync()
    await rejected.sync()
    done = { ...done, rowsBytes: rows.length, rejectedBytes: rejected.length }
    await run.save({ imported: done })
  }
  try {
    for (let batch = await table.batch(batchLines); batch !== null; batch = await table.batch(batchLines)) {
      for (const row of batch.rows) rows.append(row)
      for (const row of batch.bad) rejected.append(row)
      const before = done.place.row
      done = {
        ...done,
        place: batch.next,
        rows: done.rows + batch.rows.length,
        rejected: done.rejected + batch.bad.length,
      }
      await rows.drain()
      await sayRejected(run, batch.bad, done.rejected, `rejected:${before}`)
      await voice.progress('data_import', batch.next.row - format.row, rowTotal(run), 'rows')
      if (due()) await save()
    }
    await save()
  } finally {
    await table.close()
    await rows.close()
    await rejected.close()
  }
  if (done.rows === 0)
    throw new DiscoveryError('NO_USABLE_ROWS', `None of the ${done.rejected} rows could be read`)
  await voice.end('data_import', { rows: done.rows, rejected: done.rejected })
  await run.save({ phase: 'field_mapping' })
}

/** Shows some of the rejected rows of a batch; all of them are kept for the report. */
export async function sayRejected(
  run: Run,
  bad: readonly BadRow[],
  total: number,
  key: string,
): Promise<void> {
  if (bad.length === 0) return
  const rows = bad
    .slice(0, SHOWN_ROWS)
    .map(({ row, reason, raw }) => ({ row, reason, raw: raw.slice(0, SHOWN_CHARS).toWellFormed() }))
  await run.voice.say('rows_rejected', { rows, total }, key)
}

function rowTotal(run: Run): number | null {
  const { lines, row } = run.at.format
  return lines === null ? null : Math.max(0, lines - row + 1)
}
