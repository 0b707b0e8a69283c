import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Edge } from '../analysis/references.js'
import type { BadRow } from '../read/records.js'
import { htmlReport } from '../report/html.js'
import { type Summary, summarise } from '../report/summary.js'
import { csvLine } from '../report/text.js'
import type { Run } from '../run.js'
import { syncFolder, writeWhole } from '../work/folder.js'
import { readJournal } from '../work/journal.js'
import type { Assessed } from './analyse.js'

/** What the page of the report shows of long lists. */
const SHOWN_ASSETS = 500
const SHOWN_HUBS = 15
const SHOWN_REJECTED = 100
const BATCH = 500

/** Writes the report three times: to look at, for a spreadsheet, for a program. */
export async function report(run: Run): Promise<void> {
  const { voice, folder } = run
  await voice.begin('report')
  const summary = summarise(run.at)
  await writeStream(folder.csv, csvReport(run))
  await writeStream(folder.rejectedCsv, rejectedReport(run))
  await writeStream(folder.json, jsonReport(run, summary))
  await writeWhole(folder.html, htmlReport(summary, await collect(run)))
  const url = `/demo/${encodeURIComponent(run.at.flow)}/report`
  await voice.say('report_ready', { url }, 'report_ready')
  await voice.end('report', { assets: summary.assets })
  const { rows, rejected, assets, dependencies, byTreatment } = summary
  await voice.say(
    'flow_completed',
    { rows, rejected, assets, dependencies, byTreatment, url },
    'flow_completed',
  )
  await voice.state('completed', 'report', 100, { rows, rejected, assets, dependencies, report: url })
  await run.save({ phase: 'completed' })
  // The report has it all; a large file's working files are many times its size.
  const { upload, rows: rowFile, log, assets: assetFile, edges, unresolved, assessed } = folder
  for (const path of [upload, rowFile, log, assetFile, edges, unresolved, assessed])
    await rm(path, { force: true })
}

async function collect(run: Run) {
  const assets: Assessed[] = []
  let hubs: Assessed[] = []
  for await (const batch of readJournal<Assessed>(run.folder.assessed, BATCH)) {
    for (const { value } of batch) {
      if (assets.length < SHOWN_ASSETS) assets.push(value)
      if (value.dependents > 1) hubs.push(value)
    }
    hubs = hubs
      .sort((a, b) => b.dependents - a.dependents || (a.asset.id < b.asset.id ? -1 : 1))
      .slice(0, SHOWN_HUBS)
  }
  const rejected: BadRow[] = []
  for await (const batch of readJournal<BadRow>(run.folder.rejected, SHOWN_REJECTED)) {
    rejected.push(...batch.map(({ value }) => value))
    if (rejected.length >= SHOWN_REJECTED) break
  }
  return { assets, hubs, rejected: rejected.slice(0, SHOWN_REJECTED) }
}

const CSV_COLUMNS = [
  'id',
  'name',
  'type',
  'hostname',
  'ip_address',
  'environment',
  'operating_system',
  'os_version',
  'cpu_cores',
  'memory_gb',
  'storage_gb',
  'application',
  'business_owner',
  'criticality',
  'location',
  'technology',
  'end_of_support',
  'dependents',
  'dependencies',
  'treatment',
  'confidence',
  'reasons',
  'rows',
]

async function* csvReport(run: Run): AsyncGenerator<string> {
  // The byte order mark makes spreadsheets read UTF-8.
  yield `\ufeff${csvLine(CSV_COLUMNS)}`
  let done = 0
  for await (const batch of readJournal<Assessed>(run.folder.assessed, BATCH)) {
    yield batch.map(({ value }) => csvLine(csvValues(value))).join('')
    done += batch.length
    await run.voice.progress('report', done, 2 * run.at.analysis.assets, 'steps')
  }
}

function csvValues({ asset: a, dependents, dependencies, assessment }: Assessed): readonly unknown[] {
  const reasons = assessment.reasons.filter((reason) => reason.points > 0).map((reason) => reason.text)
  return [
    a.id,
    a.name,
    a.type,
    a.hostname,
    a.ipAddress,
    a.environment,
    a.operatingSystem,
    a.osVersion,
    a.cpuCores,
    a.memoryGb,
    a.storageGb,
    a.application,
    a.businessOwner,
    a.criticality,
    a.location,
    a.technology,
    a.endOfSupport,
    dependents,
    dependencies,
    assessment.treatment,
    assessment.confidence,
    reasons,
    a.rows,
  ]
}

async function* rejectedReport(run: Run): AsyncGenerator<string> {
  yield `\ufeff${csvLine(['row', 'reason', 'raw'])}`
  for await (const batch of readJournal<BadRow>(run.folder.rejected, BATCH)) {
    yield batch.map(({ value }) => csvLine([value.row, value.reason, value.raw])).join('')
  }
}

async function* jsonReport(run: Run, summary: Summary): AsyncGenerator<string> {
  yield `{"summary":${JSON.stringify(summary)},\n"assets":[\n`
  let done = 0
  let separator = ''
  for await (const batch of readJournal<Assessed>(run.folder.assessed, BATCH)) {
    yield separator + batch.map(({ value }) => JSON.stringify(value)).join(',\n')
    separator = ',\n'
    done += batch.length
    await run.voice.progress('report', run.at.analysis.assets + done, 2 * run.at.analysis.assets, 'steps')
  }
  yield '\n],\n"dependencies":[\n'
  separator = ''
  for await (const batch of readJournal<Edge>(run.folder.edges, BATCH)) {
    yield separator + batch.map(({ value }) => JSON.stringify(value)).join(',\n')
    separator = ',\n'
  }
  yield '\n]}\n'
}

async function writeStream(path: string, parts: AsyncIterable<string>): Promise<void> {
  const aside = `${path}.new`
  const file = await open(aside, 'w')
  try {
    for await (const part of parts) await file.appendFile(part)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(aside, path)
  await syncFolder(dirname(path))
}
