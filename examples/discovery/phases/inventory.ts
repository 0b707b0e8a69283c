import type { Asset } from '../assets/asset.js'
import { normaliser } from '../assets/normalise.js'
import { AssetStore } from '../assets/store.js'
import { DiscoveryError } from '../errors.js'
import type { BadRow, Row } from '../read/records.js'
import { everySoOften, type Run } from '../run.js'
import { Journal, readJournal } from '../work/journal.js'
import { sayRejected } from './import.js'

const SAMPLE_ASSETS = 10

/** Makes typed assets of the rows, one for each identity, then writes the newest version of each. */
export async function takeInventory(run: Run): Promise<void> {
  const { voice, folder } = run
  const { mapping, format, imported, batchLines } = run.at
  if (mapping === null) throw new DiscoveryError('MAPPING_INVALID', 'The mapping was never confirmed')
  await voice.begin('asset_inventory')
  const normalise = normaliser(format.columns, mapping)
  const store = await AssetStore.open(folder.log, run.at.inventory.logBytes)
  const rejected = await Journal.open(
    folder.rejected,
    imported.rejectedBytes + run.at.inventory.rejectedBytes,
  )
  const due = everySoOften()
  let done = run.at.inventory
  const save = async () => {
    await store.sync()
    await rejected.sync()
    done = { ...done, logBytes: store.length, rejectedBytes: rejected.length - imported.rejectedBytes }
    await run.save({ inventory: done })
  }
  try {
    for await (const batch of readJournal<Row>(folder.rows, batchLines, done.rowsAt)) {
      const sample: Asset[] = []
      const bad: BadRow[] = []
      let added = 0
      for (const { value: row } of batch) {
        const asset = normalise(row)
        if (asset === null) {
          bad.push({
            row: row.row,
            reason: 'nothing identifies it: no host name, address or name',
            raw: row.fields.join(' | '),
          })
          continue
        }
        const stored = await store.upsert(asset)
        if (stored.added) added++
        if (sample.length < SAMPLE_ASSETS) sample.push(stored.asset)
      }
      await store.flush()
      for (const row of bad) rejected.append(row)
      const updated = batch.length - bad.length - added
      done = {
        ...done,
        rowsAt: batch.at(-1)?.next ?? done.rowsAt,
        rowsDone: done.rowsDone + batch.length,
        added: done.added + added,
        updated: done.updated + updated,
        rejected: done.rejected + bad.length,
      }
      await sayRejected(run, bad, imported.rejected + done.rejected, `unidentified:${done.rowsDone}`)
      const said = { added, updated, total: store.size, sample: sample.map(short) }
      await voice.say('asset_batch', said, `assets:${done.rowsDone}`)
      await voice.progress('asset_inventory', done.rowsDone, imported.rows, 'rows')
      if (due()) await save()
    }
    await save()
    if (store.size === 0)
      throw new DiscoveryError('NO_USABLE_ROWS', 'No row has a host name, an address or a name')
    const { byType, byEnvironment } = await writeNewest(run, store)
    const total = store.size
    await voice.say('asset_summary', { total, byType, byEnvironment }, 'asset_summary')
    await voice.end('asset_inventory', { assets: total, duplicates: done.updated, rejected: done.rejected })
    await run.save({
      phase: 'analysis',
      analysis: { ...run.at.analysis, assets: total, byType, byEnvironment },
    })
  } finally {
    await store.close()
    await rejected.close()
  }
}

async function writeNewest(run: Run, store: AssetStore) {
  const byType: Record<string, number> = {}
  const byEnvironment: Record<string, number> = {}
  const assets = await Journal.open(run.folder.assets, 0)
  try {
    for await (const batch of store.newest()) {
      for (const asset of batch) {
        assets.append(asset)
        byType[asset.type] = (byType[asset.type] ?? 0) + 1
        byEnvironment[asset.environment] = (byEnvironment[asset.environment] ?? 0) + 1
      }
      await assets.drain()
    }
    await assets.sync()
  } finally {
    await assets.close()
  }
  return { byType, byEnvironment }
}

function short({ id, name, type, environment, hostname, ipAddress, operatingSystem }: Asset) {
  return {
    id: id.slice(0, 200).toWellFormed(),
    name: name.slice(0, 200).toWellFormed(),
    type,
    environment,
    hostname,
    ipAddress,
    operatingSystem,
  }
}
