import { type Cursor, type Gap, resume } from '../../src/events/cursor.js'
import { itemsAfter } from '../../src/events/delivery.js'
import type { LogReader, StoredEvent } from '../../src/events/log.js'
import type { FlowRef } from '../../src/tenant.js'

/** A reader that resumes at its cursor whenever it looks. */
export class Reader {
  readonly events: StoredEvent[] = []
  readonly gaps: Omit<Gap, 'flow'>[] = []
  readonly #log: LogReader
  readonly #ref: FlowRef
  #cursor: Cursor

  constructor(log: LogReader, ref: FlowRef, cursor: Cursor) {
    this.#log = log
    this.#ref = ref
    this.#cursor = cursor
  }

  async look(): Promise<this> {
    for (;;) {
      const { seq } = this.#cursor
      const page = await this.#log.read(this.#ref, { after: seq, order: 'asc', limit: 100 })
      const { gap, term, after } = resume(page.position, this.#cursor)
      if (gap) this.gaps.push(gap)
      this.#cursor = { term, seq: after }
      // What was read from behind that place says nothing of what lies between.
      const items = after >= seq ? itemsAfter('f', this.#cursor, page.events) : []
      for (const item of items) {
        if (item.gap) this.gaps.push(item.gap)
        else this.events.push(item.event)
        this.#cursor = item.cursor
      }
      if (!gap && items.length === 0) return this
    }
  }
}

/** Of an event's id. */
export const seqOf = (id: string) => Number(id.split('-')[1])
