import { type Assessment, assess } from '../analysis/assess.js'
import { Directory, type Edge, referencesOf } from '../analysis/references.js'
import type { Treatment } from '../analysis/rules.js'
import type { Asset } from '../assets/asset.js'
import { checkSignal } from '../errors.js'
import type { Run } from '../run.js'
import { Journal, readJournal } from '../work/journal.js'

/** Assets read at once; one batch is one event, so large inventories have larger ones. */
const BATCH = [500, 5000] as const
const SHOWN_EDGES = 50
/** Different unknown names that are counted, and that are kept. */
const COUNTED_NAMES = 10_000
const KEPT_NAMES = 20

/** An asset with what the analysis found. */
export interface Assessed {
  readonly asset: Asset
  readonly dependents: number
  readonly dependencies: number
  readonly assessment: Assessment
}

/** Finds the dependencies, then suggests a treatment for every asset. */
export async function analyse(run: Run): Promise<void> {
  await run.voice.begin('analysis')
  if (!run.at.analysis.linked) await link(run)
  await assessAll(run)
  const { assets, edges } = run.at.analysis
  await run.voice.end('analysis', { assets, dependencies: edges })
  await run.save({ phase: 'report' })
}

function batchSize(run: Run): number {
  const [least, most] = BATCH
  return Math.min(most, Math.max(least, Math.ceil(run.at.analysis.assets / 100)))
}

async function link(run: Run): Promise<void> {
  const directory = new Directory()
  for await (const batch of readJournal<Asset>(run.folder.assets, batchSize(run))) {
    for (const { value } of batch) directory.add(value)
    checkSignal(run.signal)
  }
  const journal = await Journal.open(run.folder.edges, 0)
  const unknown = new Map<string, number>()
  let total = 0
  let unresolved = 0
  let done = 0
  try {
    for await (const batch of readJournal<Asset>(run.folder.assets, batchSize(run))) {
      const edges: Edge[] = []
      for (const { value } of batch) {
        const found = referencesOf(value, done++, directory)
        for (const edge of found.edges) journal.append(edge)
        total += found.edges.length
        unresolved += found.unresolved.length
        for (const name of found.unresolved) count(unknown, name)
        if (edges.length < SHOWN_EDGES) edges.push(...found.edges)
      }
      await journal.drain()
      if (edges.length > 0)
        await run.voice.say(
          'dependency_batch',
          { edges: edges.slice(0, SHOWN_EDGES).map(brief), total },
          `edges:${done}`,
        )
      await run.voice.progress('analysis', done, 2 * directory.size, 'steps')
    }
    await journal.sync()
  } finally {
    await journal.close()
  }
  const names = [...unknown].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, KEPT_NAMES)
  await run.save({
    analysis: { ...run.at.analysis, linked: true, edges: total, unresolved, unresolvedNames: names },
  })
}

async function assessAll(run: Run): Promise<void> {
  const dependents = new Map<string, number>()
  const dependencies = new Map<string, number>()
  for await (const batch of readJournal<Edge>(run.folder.edges, 1000)) {
    for (const { value } of batch) {
      dependents.set(value.to, (dependents.get(value.to) ?? 0) + 1)
      dependencies.set(value.from, (dependencies.get(value.from) ?? 0) + 1)
    }
  }
  const byTreatment: Record<Treatment, number> = {
    rehost: 0,
    replatform: 0,
    refactor: 0,
    rearchitect: 0,
    replace: 0,
    retire: 0,
  }
  const journal = await Journal.open(run.folder.assessed, 0)
  const total = run.at.analysis.assets
  let done = 0
  try {
    for await (const batch of readJournal<Asset>(run.folder.assets, batchSize(run))) {
      const tenths = Math.floor((10 * done) / total)
      for (const { value: asset } of batch) {
        const subject = {
          asset,
          dependents: dependents.get(asset.id) ?? 0,
          dependencies: dependencies.get(asset.id) ?? 0,
        }
        const assessment = assess({ ...subject, asOf: run.at.asOf })
        byTreatment[assessment.treatment]++
        const assessed: Assessed = { ...subject, assessment }
        journal.append(assessed)
      }
      done += batch.length
      await journal.drain()
      if (Math.floor((10 * done) / total) > tenths) {
        await run.voice.say(
          'treatment_summary',
          { byTreatment: { ...byTreatment }, assessed: done },
          `treatments:${done}`,
        )
      }
      await run.voice.progress('analysis', total + done, 2 * total, 'steps')
    }
    await journal.sync()
  } finally {
    await journal.close()
  }
  await run.save({ analysis: { ...run.at.analysis, byTreatment } })
}

function count(names: Map<string, number>, name: string): void {
  const times = names.get(name)
  if (times !== undefined || names.size < COUNTED_NAMES) names.set(name, (times ?? 0) + 1)
}

function brief({ from, to, kind }: Edge): Edge {
  return { from: from.slice(0, 200).toWellFormed(), to: to.slice(0, 200).toWellFormed(), kind }
}
