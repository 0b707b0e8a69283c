import { existsSync } from 'node:fs'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite, type Transaction } from '@electric-sql/pglite'
import { SpillwayError } from '../errors.js'
import {
  type Database,
  type Ear,
  type Queryable,
  type Row,
  type Scope,
  type Script,
  scopePrelude,
} from './client.js'
import { type DirectoryLock, lockDirectory } from './directory-lock.js'
import { closed, translate } from './errors.js'
import { SYNCED_PARAMS, SyncedFiles } from './synced-files.js'
import { TextArray } from './text-array.js'

/** PGlite in this process, its files under `<dataDir>/postgres`, held against a second process. */
export class EmbeddedDatabase implements Database {
  readonly kind = 'embedded'
  readonly parallel = 1
  readonly #pglite: PGlite
  readonly #lock: DirectoryLock
  #closed = false

  private constructor(pglite: PGlite, lock: DirectoryLock) {
    this.#pglite = pglite
    this.#lock = lock
  }

  /** Opens or creates the database. Errors: `DATA_DIR_IN_USE`, `STORE_UNAVAILABLE`. */
  static async open(dataDir: string, onProgress?: (step: string) => void): Promise<EmbeddedDatabase> {
    await mkdir(dataDir, { recursive: true })
    const lock = await lockDirectory(dataDir)
    try {
      const files = join(dataDir, 'postgres')
      const creating = join(dataDir, 'creating')
      // A database that was not made to its end never opens. Nothing was in it yet: it is made anew.
      if (existsSync(creating)) await rm(files, { recursive: true, force: true })
      const isNew = !existsSync(join(files, 'PG_VERSION'))
      if (isNew) await writeFile(creating, '', { flush: true })
      onProgress?.(
        isNew ? 'creating the embedded database (some seconds, once)' : 'opening the embedded database',
      )
      const pglite = await PGlite.create({ fs: new SyncedFiles(files), startParams: SYNCED_PARAMS })
      if (isNew) await removeForGood(creating, dataDir)
      return new EmbeddedDatabase(pglite, lock)
    } catch (error) {
      await lock.release()
      throw new SpillwayError(
        'STORE_UNAVAILABLE',
        `The embedded database in ${dataDir} does not open: ${String(error)}`,
        { cause: error },
      )
    }
  }

  async query<R extends object = Row>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    if (this.#closed) throw closed()
    try {
      return (await this.#pglite.query<R>(text, values.map(plain))).rows
    } catch (error) {
      throw translate(error)
    }
  }

  async scoped<T>(scope: Scope, run: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.#inTransaction(async (tx) => {
      await tx.exec(scopePrelude(scope))
      return run(queryable(tx))
    })
  }

  async transaction<T>(run: (tx: Script) => Promise<T>): Promise<T> {
    return this.#inTransaction((tx) =>
      run({ ...queryable(tx), script: async (text) => void (await tx.exec(text)) }),
    )
  }

  async #inTransaction<T>(run: (tx: Transaction) => Promise<T>): Promise<T> {
    if (this.#closed) throw closed()
    try {
      return await this.#pglite.transaction(run)
    } catch (error) {
      throw translate(error)
    }
  }

  async listen(channel: string, ear: Ear): Promise<() => Promise<void>> {
    const stop = await this.#pglite.listen(channel, (payload) => ear.heard(payload))
    ear.hearing(true)
    return () => stop()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#pglite.close()
    await this.#lock.release()
  }
}

/** After a power cut the file stays away: before that, nothing may be acknowledged. */
async function removeForGood(file: string, folder: string): Promise<void> {
  await rm(file)
  // Windows cannot open a folder.
  if (process.platform === 'win32') return
  const handle = await open(folder)
  await handle.sync().finally(() => handle.close())
}

/** PGlite takes arrays as they are. */
function plain(value: unknown): unknown {
  return value instanceof TextArray ? value.texts : value
}

function queryable(tx: Transaction): Queryable {
  return {
    query: async <R extends object>(text: string, values: readonly unknown[] = []) =>
      (await tx.query<R>(text, values.map(plain))).rows,
  }
}
