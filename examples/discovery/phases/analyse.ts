import { type Assessment, assess } from '../analysis/assess.js'
import type { Edge } from '../analysis/references.js'
import type { Asset } from '../assets/asset.js'
import { everySoOften, type Run } from '../run.js'
import type { Counts } from '../work/checkpoint.js'
import { Journal, readJournal } from '../work/journal.js'
import { batchSize, linkAssets } from './link.js'

/** An asset with what the analysis found. */
export interface Assessed {
  readonly asset: Asset
  readonly dependents: number
  readonly dependencies: number
  readonly assessment: Assessment
}

const NOTHING_YET: Counts = { rehost: 0, replatform: 0, refactor: 0, rearchitect: 0, replace: 0, retire: 0 }

/** Finds the dependencies, then suggests a treatment for every asset. */
export async function analyse(run: Run): Promise<void> {
  await run.voice.begin('analysis')
  await linkAssets(run)
  await assessAssets(run)
  const { assets, edges } = run.at.analysis
  await run.voice.end('analysis', { assets, dependencies: edges })
  await run.save({ phase: 'report' })
}

async function assessAssets(run: Run): Promise<void> {
  const { dependents, dependencies } = await degrees(run)
  const total = run.at.analysis.assets
  let { assessed: pass } = run.at.analysis
  const byTreatment = { ...NOTHING_YET, ...run.at.analysis.byTreatment }
  const journal = await Journal.open(run.folder.assessed, pass.bytes)
  const due = everySoOften()
  const save = async () => {
    await journal.sync()
    pass = { ...pass, bytes: journal.length }
    await run.save({ analysis: { ...run.at.analysis, assessed: pass, byTreatment: { ...byTreatment } } })
  }
  try {
    for await (const batch of readJournal<Asset>(run.folder.assets, batchSize(run), pass.at)) {
      for (const { value: asset } of batch) {
        const subject = {
          asset,
          dependents: dependents.get(asset.id) ?? 0,
          dependencies: dependencies.get(asset.id) ?? 0,
        }
        const assessment = assess({ ...subject, asOf: run.at.asOf })
        byTreatment[assessment.treatment] = (byTreatment[assessment.treatment] ?? 0) + 1
        const assessed: Assessed = { ...subject, assessment }
        journal.append(assessed)
      }
      const done = pass.done + batch.length
      const tenth = (count: number) => Math.floor((10 * count) / total)
      if (tenth(done) > tenth(pass.done)) {
        const said = { byTreatment: { ...byTreatment }, assessed: done }
        await run.voice.say('treatment_summary', said, `treatments:${done}`)
      }
      pass = { ...pass, at: batch.at(-1)?.next ?? pass.at, done }
      await journal.drain()
      await run.voice.progress('analysis', total + done, 2 * total, 'steps')
      if (due()) await save()
    }
    await save()
  } finally {
    await journal.close()
  }
}

/** How many depend on each asset, and on how many each depends. */
async function degrees(run: Run) {
  const dependents = new Map<string, number>()
  const dependencies = new Map<string, number>()
  for await (const batch of readJournal<Edge>(run.folder.edges, 1000)) {
    for (const { value } of batch) {
      dependents.set(value.to, (dependents.get(value.to) ?? 0) + 1)
      dependencies.set(value.from, (dependencies.get(value.from) ?? 0) + 1)
    }
  }
  return { dependents, dependencies }
}
