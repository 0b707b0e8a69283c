import type { Asset } from '../assets/asset.js'
import { fold } from '../assets/identity.js'

/** A dependency between two assets, by their identities. */
export interface Edge {
  readonly from: string
  readonly to: string
  /** `depends_on`: the file lists it. `runs_on`: an application and its host. `mentions`: its notes name the other. */
  readonly kind: 'depends_on' | 'runs_on' | 'mentions'
}

const MAX_EDGES = 100
const NOTHING: readonly number[] = []

/**
 * Every name, host name and address under which an asset may be spoken of.
 * Memory: about 300 bytes an asset. Of two assets with the same name the first is meant.
 */
export class Directory {
  readonly #ids: string[] = []
  readonly #byHost = new Map<string, number>()
  readonly #byAddress = new Map<string, number>()
  readonly #byName = new Map<string, number>()

  add(asset: Asset): void {
    const at = this.#ids.push(asset.id) - 1
    const host = asset.hostname?.split('.')[0]
    // An application does not stand for the host that it runs on.
    if (asset.type !== 'application') {
      if (host !== undefined) put(this.#byHost, host, at)
      if (asset.ipAddress !== null) put(this.#byAddress, asset.ipAddress, at)
    }
    const name = fold(asset.name)
    if (name !== host) put(this.#byName, name, at)
    if (asset.assetId !== null) put(this.#byName, fold(asset.assetId), at)
  }

  get size(): number {
    return this.#ids.length
  }

  id(at: number): string {
    return this.#ids[at] ?? ''
  }

  find(reference: string): number | undefined {
    const folded = fold(reference)
    return (
      this.#byHost.get(folded) ??
      this.#byAddress.get(folded) ??
      this.#byName.get(folded) ??
      this.findHost(hostPart(folded))
    )
  }

  findHost(word: string): number | undefined {
    return this.#byHost.get(word.split('.')[0] ?? '') ?? this.#byAddress.get(word)
  }
}

/** What one asset (the `own`-th) refers to, and which of its dependencies nobody is known as. */
export function referencesOf(asset: Asset, own: number, directory: Directory) {
  const found = new Map<number, Edge['kind']>()
  const unresolved: string[] = []
  const link = (at: number | undefined, kind: Edge['kind']) => {
    if (at !== undefined && at !== own && found.size < MAX_EDGES && !found.has(at)) found.set(at, kind)
    return at !== undefined
  }
  for (const reference of asset.dependencies)
    if (!link(directory.find(reference), 'depends_on')) unresolved.push(reference)
  if (asset.type === 'application') {
    const host = asset.hostname ?? asset.ipAddress
    if (host !== null) link(directory.findHost(host), 'runs_on')
  }
  for (const at of mentioned(asset.notes, directory)) link(at, 'mentions')
  const edges = [...found].map(([at, kind]): Edge => ({ from: asset.id, to: directory.id(at), kind }))
  return { edges, unresolved }
}

/** Hosts named in a text: words with a digit or a hyphen in them, and addresses; "web" alone is no host name. */
function mentioned(text: string | null, directory: Directory): readonly number[] {
  if (text === null) return NOTHING
  const words = text.toLowerCase().match(/[a-z0-9][a-z0-9.-]{2,}[a-z0-9]/g) ?? []
  return words.filter((word) => /[\d-]/.test(word)).flatMap((word) => directory.findHost(word) ?? NOTHING)
}

/** `db01.corp.local:1521` and `jdbc:oracle:thin:@db01:1521` speak of `db01`. */
function hostPart(reference: string): string {
  return reference.replace(/^.*(:\/\/|@)/, '').replace(/[:/].*$/, '')
}

function put(map: Map<string, number>, key: string, at: number): void {
  if (!map.has(key)) map.set(key, at)
}
