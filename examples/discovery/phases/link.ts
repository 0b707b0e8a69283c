import { Directory, type Edge, referencesOf } from '../analysis/references.js'
import type { Asset } from '../assets/asset.js'
import { checkSignal } from '../errors.js'
import { everySoOften, type Run } from '../run.js'
import { Journal, readJournal } from '../work/journal.js'

const SHOWN_EDGES = 50
/** Different unknown names that are counted, and that are kept. */
const COUNTED_NAMES = 10_000
const KEPT_NAMES = 20

/** Assets read at once; one batch is one event, so large inventories have larger ones. */
export function batchSize(run: Run): number {
  return Math.min(5000, Math.max(250, Math.ceil(run.at.analysis.assets / 100)))
}

/** Finds which asset refers to which. Memory: the directory, about 300 bytes an asset. */
export async function linkAssets(run: Run): Promise<void> {
  const { folder, voice } = run
  if (run.at.analysis.linked.over) return
  const directory = await buildDirectory(run)
  let { linked: pass, edges: total, unresolved } = run.at.analysis
  const edges = await Journal.open(folder.edges, pass.bytes)
  const strangers = await Journal.open(folder.unresolved, pass.unresolvedBytes)
  const due = everySoOften()
  const save = async () => {
    await edges.sync()
    await strangers.sync()
    pass = { ...pass, bytes: edges.length, unresolvedBytes: strangers.length }
    await run.save({ analysis: { ...run.at.analysis, linked: pass, edges: total, unresolved } })
  }
  try {
    for await (const batch of readJournal<Asset>(folder.assets, batchSize(run), pass.at)) {
      const shown: Edge[] = []
      for (const [i, { value }] of batch.entries()) {
        const found = referencesOf(value, pass.done + i, directory)
        for (const edge of found.edges) edges.append(edge)
        for (const name of found.unresolved) strangers.append(name)
        total += found.edges.length
        unresolved += found.unresolved.length
        if (shown.length < SHOWN_EDGES) shown.push(...found.edges)
      }
      await edges.drain()
      await strangers.drain()
      pass = { ...pass, at: batch.at(-1)?.next ?? pass.at, done: pass.done + batch.length }
      if (shown.length > 0) {
        const said = { edges: shown.slice(0, SHOWN_EDGES).map(brief), total }
        await voice.say('dependency_batch', said, `edges:${pass.done}`)
      }
      await voice.progress('analysis', pass.done, 2 * directory.size, 'steps')
      if (due()) await save()
    }
    await save()
  } finally {
    await edges.close()
    await strangers.close()
  }
  const unresolvedNames = await mostFrequent(folder.unresolved)
  await run.save({ analysis: { ...run.at.analysis, linked: { ...pass, over: true }, unresolvedNames } })
}

async function buildDirectory(run: Run): Promise<Directory> {
  const directory = new Directory()
  for await (const batch of readJournal<Asset>(run.folder.assets, 1000)) {
    for (const { value } of batch) directory.add(value)
    checkSignal(run.signal)
  }
  return directory
}

async function mostFrequent(path: string) {
  const names = new Map<string, number>()
  for await (const batch of readJournal<string>(path, 1000)) {
    for (const { value } of batch) {
      const times = names.get(value)
      if (times !== undefined || names.size < COUNTED_NAMES) names.set(value, (times ?? 0) + 1)
    }
  }
  return [...names].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, KEPT_NAMES)
}

function brief({ from, to, kind }: Edge): Edge {
  return { from: from.slice(0, 200).toWellFormed(), to: to.slice(0, 200).toWellFormed(), kind }
}
