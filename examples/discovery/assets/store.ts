import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { Journal, readJournal } from '../work/journal.js'
import type { Asset } from './asset.js'
import { mergeAssets } from './identity.js'

const READ_BYTES = 4096

/**
 * Assets by identity, as a journal of their versions: an upsert appends the newest version.
 * Memory: about 100 bytes for each different asset (its digest and the place of its newest version).
 */
export class AssetStore {
  readonly #journal: Journal
  readonly #file: FileHandle
  readonly #path: string
  readonly #places = new Map<string, number>()
  /** Versions that are not in the file yet. */
  readonly #unwritten = new Map<number, Asset>()

  private constructor(path: string, journal: Journal, file: FileHandle) {
    this.#path = path
    this.#journal = journal
    this.#file = file
  }

  /** Opens the store at `length`, what came later is cut off. */
  static async open(path: string, length: number): Promise<AssetStore> {
    const store = new AssetStore(path, await Journal.open(path, length), await open(path, 'r'))
    for await (const batch of readJournal<Asset>(path, 1000)) {
      for (const { value, at } of batch) store.#places.set(digest(value.id), at)
    }
    return store
  }

  get size(): number {
    return this.#places.size
  }

  /** Bytes of the journal. */
  get length(): number {
    return this.#journal.length
  }

  async upsert(asset: Asset): Promise<{ asset: Asset; added: boolean }> {
    const key = digest(asset.id)
    const place = this.#places.get(key)
    const earlier = place === undefined ? null : await this.#read(place)
    const newest = earlier === null ? asset : mergeAssets(earlier, asset)
    const at = this.#journal.append(newest)
    this.#places.set(key, at)
    this.#unwritten.set(at, newest)
    return { asset: newest, added: earlier === null }
  }

  /** Ends a batch: what it appended may leave memory. */
  async flush(): Promise<void> {
    await this.#journal.flush()
    this.#unwritten.clear()
  }

  async sync(): Promise<void> {
    await this.flush()
    await this.#journal.sync()
  }

  /** The newest version of every asset, in the order in which they were last changed. */
  async *newest(): AsyncGenerator<Asset[]> {
    for await (const batch of readJournal<Asset>(this.#path, 1000)) {
      yield batch
        .filter(({ value, at }) => this.#places.get(digest(value.id)) === at)
        .map(({ value }) => value)
    }
  }

  async close(): Promise<void> {
    await this.#journal.close()
    await this.#file.close()
  }

  async #read(at: number): Promise<Asset> {
    const waiting = this.#unwritten.get(at)
    if (waiting !== undefined) return waiting
    let bytes = Buffer.alloc(READ_BYTES)
    for (;;) {
      const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, at)
      const end = bytes.subarray(0, bytesRead).indexOf(0x0a)
      if (end >= 0) return JSON.parse(bytes.toString('utf8', 0, end))
      if (bytesRead < bytes.length) throw new Error('The journal of assets ends within a line')
      bytes = Buffer.alloc(bytes.length * 4)
    }
  }
}

/** Twelve bytes of SHA-256: among a million assets two share one with a chance of 1 in 10^17. */
function digest(id: string): string {
  return createHash('sha256').update(id).digest('binary').slice(0, 12)
}
