import type { Flow } from 'spillway'
import type { Voice } from './voice.js'
import type { Checkpoint } from './work/checkpoint.js'
import { saveCheckpoint } from './work/checkpoint.js'
import type { Folder } from './work/folder.js'

/** One run of the flow while this process works on it. */
export class Run {
  readonly folder: Folder
  readonly flow: Flow
  readonly voice: Voice
  readonly signal: AbortSignal | undefined
  /** How long a proposed mapping waits for a person, in ms. */
  readonly autoConfirmMs: number
  #checkpoint: Checkpoint

  constructor(parts: {
    folder: Folder
    flow: Flow
    voice: Voice
    signal: AbortSignal | undefined
    autoConfirmMs: number
    checkpoint: Checkpoint
  }) {
    this.folder = parts.folder
    this.flow = parts.flow
    this.voice = parts.voice
    this.signal = parts.signal
    this.autoConfirmMs = parts.autoConfirmMs
    this.#checkpoint = parts.checkpoint
  }

  get at(): Checkpoint {
    return this.#checkpoint
  }

  /** Makes progress certain. Events that tell of it must have been published before: their keys bear a repeat. */
  async save(change: Partial<Checkpoint>): Promise<void> {
    this.#checkpoint = { ...this.#checkpoint, ...change }
    await saveCheckpoint(this.folder, this.#checkpoint)
  }
}

/** Least time between two checkpoints within a phase: what a killed process has to do again. */
const SAVE_MS = 250

/** True now and then: when the next checkpoint is due. */
export function everySoOften(ms = SAVE_MS): () => boolean {
  let last = performance.now()
  return () => {
    const now = performance.now()
    if (now - last < ms) return false
    last = now
    return true
  }
}
