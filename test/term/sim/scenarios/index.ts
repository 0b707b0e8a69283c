import type { Fleet } from '../fleet.js'
import type { Guard } from '../guards.js'
import {
  backWithItsData,
  backWithOlderData,
  backWithTheMark,
  diesInReturn,
  emptiedBehindMark,
  emptiedInCarry,
  lateLeases,
  lateMarker,
  lateMarkerAfterFlush,
  stopsBehindCarry,
} from './carrying.js'
import { lateClosing, lateOpening, lateTakeOver, lostClosing } from './leading.js'
import {
  answerAfterStop,
  answerOfBefore,
  lateStatement,
  leavesAtWork,
  overtakenBeat,
  silentHolder,
  slowAnswer,
  unseenBeat,
} from './trust.js'

/** The accident that a guard prevents, or that either of two prevents. */
export interface Accident {
  readonly without: readonly Guard[]
  readonly scenario: (fleet: Fleet) => void
}

export const ACCIDENTS: readonly Accident[] = [
  { without: ['trust ends'], scenario: silentHolder },
  { without: ['opening waits'], scenario: silentHolder },
  { without: ['the wait is as long as trust'], scenario: silentHolder },
  { without: ['quarantine'], scenario: silentHolder },
  { without: ['quarantine is as long as leases'], scenario: silentHolder },
  { without: ['trust begins with the question'], scenario: slowAnswer },
  { without: ['one beat at a time'], scenario: overtakenBeat },
  { without: ['a first beat is not trusted'], scenario: unseenBeat },
  { without: ['an answer counts only in its term'], scenario: answerOfBefore },
  { without: ['stopped only when nothing is under way'], scenario: answerAfterStop },
  { without: ['statements check the term'], scenario: lateStatement },
  { without: ['a life that leaves trusts no more'], scenario: leavesAtWork },
  { without: ['connections are only made to the identity of the term'], scenario: backWithOlderData },
  {
    without: ['connections are only made to the identity of the term', 'the identity is looked at'],
    scenario: backWithItsData,
  },
  { without: ['a leader without its answer leads all the same'], scenario: lostClosing },
  { without: ['a take-over waits anew'], scenario: lateClosing },
  { without: ['take-over by compare-and-set'], scenario: lateTakeOver },
  { without: ['opening by compare-and-set'], scenario: lateOpening },
  { without: ['what was said behind a carry-over is carried too'], scenario: stopsBehindCarry },
  { without: ['the mark comes before what is carried'], scenario: emptiedInCarry },
  { without: ['a mark is looked for before anything is carried'], scenario: emptiedBehindMark },
  { without: ['the identity is that of the marked Redis'], scenario: backWithTheMark },
  { without: ['a carry-over that failed turns back'], scenario: diesInReturn },
  { without: ['no carry-over into an open term'], scenario: lateMarker },
  { without: ['attempt'], scenario: lateMarkerAfterFlush },
  {
    without: ['no carry-over into an open term', 'a lower fence replaces no higher one'],
    scenario: lateLeases,
  },
]
