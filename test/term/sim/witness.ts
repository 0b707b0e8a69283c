import type { Beat } from '../../../src/term/ports.js'
import type { Reason } from '../../../src/term/states.js'
import type { StoreName } from '../../../src/term/term.js'

/** Who is told what happens to the term in PostgreSQL. */
export interface Witness {
  /** A life's beat begins in PostgreSQL. */
  begun(life: string): void
  /** What a life was told with its beat, when it hears it: one that was given up says nothing. */
  beaten(life: string, beat: Beat): void
  /** A life decides to close, by what it was told last; the statement may be carried out much later. */
  closes(life: string, reason: Reason): void
  opened(number: number, store: StoreName, early: boolean): void
}
