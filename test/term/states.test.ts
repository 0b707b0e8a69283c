import { describe, expect, it } from 'vitest'
import { decide, type Situation, type Step } from '../../src/term/states.js'

/** The values of a type of texts: the compiler misses any that is not named. */
function all<T extends string>(named: Record<T, true>): readonly T[] {
  return Object.keys(named).filter((name): name is T => name in named)
}

const YES_NO = [false, true] as const
const STORES = all<Situation['store']>({ redis: true, postgres: true })
const REASONS = all<NonNullable<Situation['asked']>['reason']>({ operator: true, drill: true })

/** Every value that each part of a situation can have. */
const VALUES: { readonly [K in keyof Situation]: readonly Situation[K][] } = {
  phase: all<Situation['phase']>({ open: true, closing: true }),
  store: STORES,
  want: STORES,
  switcher: all<Situation['switcher']>({ me: true, live: true, gone: true }),
  stopped: YES_NO,
  busy: YES_NO,
  allStopped: YES_NO,
  waited: YES_NO,
  majorityDown: YES_NO,
  wrongRedis: YES_NO,
  held: YES_NO,
  healthy: YES_NO,
  asked: [null, ...STORES.flatMap((store) => REASONS.map((reason) => ({ store, reason })))],
  carried: all<Situation['carried']>({ 'not yet': true, 'under way': true, done: true, failed: true }),
}

const FIRST: Situation = {
  phase: 'open',
  store: 'redis',
  want: 'redis',
  switcher: 'me',
  stopped: false,
  busy: false,
  allStopped: false,
  waited: false,
  majorityDown: false,
  wrongRedis: false,
  held: false,
  healthy: false,
  asked: null,
  carried: 'not yet',
}

/** All situations that there are, with what is decided in each: the whole table. */
function table(): (readonly [Situation, Step])[] {
  let rows: Situation[] = [FIRST]
  rows = vary(rows, 'phase', VALUES.phase)
  rows = vary(rows, 'store', VALUES.store)
  rows = vary(rows, 'want', VALUES.want)
  rows = vary(rows, 'switcher', VALUES.switcher)
  rows = vary(rows, 'stopped', VALUES.stopped)
  rows = vary(rows, 'busy', VALUES.busy)
  rows = vary(rows, 'allStopped', VALUES.allStopped)
  rows = vary(rows, 'waited', VALUES.waited)
  rows = vary(rows, 'majorityDown', VALUES.majorityDown)
  rows = vary(rows, 'wrongRedis', VALUES.wrongRedis)
  rows = vary(rows, 'held', VALUES.held)
  rows = vary(rows, 'healthy', VALUES.healthy)
  rows = vary(rows, 'asked', VALUES.asked)
  rows = vary(rows, 'carried', VALUES.carried)
  return rows.map((row) => [row, decide(row)] as const)
}

function vary<K extends keyof Situation>(
  rows: readonly Situation[],
  part: K,
  values: readonly Situation[K][],
): Situation[] {
  return rows.flatMap((row) => values.map((value) => ({ ...row, [part]: value })))
}

const TABLE = table()

/** The situations that meet `given` and do not give what `then` wants of the step. */
function against(given: (s: Situation) => boolean, then: (step: Step, s: Situation) => boolean) {
  let met = 0
  const wrong: string[] = []
  for (const [situation, step] of TABLE) {
    if (!given(situation)) continue
    met += 1
    if (!then(step, situation)) wrong.push(JSON.stringify({ situation, step }))
  }
  expect(met).toBeGreaterThan(0)
  return wrong.slice(0, 3)
}

/** What a step changes in the situation of the instance that takes it, without a fault. */
function done(s: Situation, step: Step): Situation {
  switch (step.do) {
    case 'nothing':
      return s
    case 'close':
      return { ...s, phase: 'closing', want: step.want, switcher: 'me', stopped: false, carried: 'not yet' }
    case 'stop':
      return { ...s, stopped: true }
    case 'take over':
      return { ...s, switcher: 'me' }
    case 'turn back':
      return { ...s, want: 'postgres' }
    case 'carry':
      return { ...s, carried: 'done' }
    case 'open':
      return { ...s, phase: 'open', store: s.want }
  }
}

describe('what an instance decides', () => {
  it('is looked at in every situation that there is', () => {
    const combinations = Object.values(VALUES).reduce((product, { length }) => product * length, 1)
    expect(new Set(TABLE.map(([situation]) => JSON.stringify(situation))).size).toBe(combinations)
  })

  it('asks for no step a second time that was done; test/term/model repeats them in the stores', () => {
    expect(
      against(
        (s) => decide(s).do !== 'nothing',
        (step, s) => decide(done(s, step)).do !== step.do,
      ),
    ).toEqual([])
  })

  it('has one answer for every situation, and only steps of the phase', () => {
    const ofPhase = {
      open: ['nothing', 'close'],
      closing: ['nothing', 'stop', 'take over', 'turn back', 'carry', 'open'],
    }
    expect(
      against(
        () => true,
        (step, { phase }) => ofPhase[phase].includes(step.do),
      ),
    ).toEqual([])
    const taken = new Set(TABLE.map(([, step]) => step.do))
    expect([...taken].sort()).toEqual([...new Set(Object.values(ofPhase).flat())].sort())
  })

  it('opens only what it leads, when all have stopped or the whole wait is over, and says which', () => {
    expect(
      against(
        (s) => decide(s).do === 'open',
        (step, s) =>
          s.phase === 'closing' &&
          s.switcher === 'me' &&
          (s.allStopped || s.waited) &&
          step.do === 'open' &&
          step.early === s.allStopped,
      ),
    ).toEqual([])
  })

  it('carries and turns back only then too: what is carried must not change any more', () => {
    expect(
      against(
        (s) => ['carry', 'turn back'].includes(decide(s).do),
        (_, s) => s.want === 'redis' && s.switcher === 'me' && (s.allStopped || s.waited),
      ),
    ).toEqual([])
  })

  it('opens Redis only when it was carried into and no majority sees it down', () => {
    expect(
      against(
        (s) => s.want === 'redis' && decide(s).do === 'open',
        (_, s) => s.carried === 'done' && !s.majorityDown,
      ),
    ).toEqual([])
  })

  it('says that it has stopped once, with nothing under way', () => {
    expect(
      against(
        (s) => decide(s).do === 'stop',
        (_, s) => !s.busy && !s.stopped,
      ),
    ).toEqual([])
    expect(
      against(
        (s) => s.phase === 'closing' && !s.busy && !s.stopped,
        (step) => step.do === 'stop',
      ),
    ).toEqual([])
  })

  it('leaves Redis only for a majority or an operator', () => {
    expect(
      against(
        (s) => s.store === 'redis' && !s.majorityDown && s.asked?.store !== 'postgres',
        (step) => step.do !== 'close' || step.want === 'redis',
      ),
    ).toEqual([])
    expect(
      against(
        (s) => s.phase === 'open' && s.store === 'redis' && s.majorityDown,
        (step) => step.do === 'close' && step.want === 'postgres',
      ),
    ).toEqual([])
  })

  it('begins a new term on Redis only where a majority finds it another', () => {
    expect(
      against(
        (s) => s.phase === 'open' && s.store === 'redis' && !s.wrongRedis,
        (step) => step.do !== 'close' || step.want === 'postgres',
      ),
    ).toEqual([])
  })

  it('returns only to a Redis that all see well, and not against an operator', () => {
    expect(
      against(
        (s) => s.phase === 'open' && s.store === 'postgres' && decide(s).do === 'close',
        (_, s) => s.healthy && (!s.held || s.asked?.store === 'redis'),
      ),
    ).toEqual([])
  })

  it('leaves a closing to its leader, and takes it over from one that is gone', () => {
    expect(
      against(
        (s) => s.phase === 'closing' && s.switcher === 'live',
        (step) => step.do === 'nothing' || step.do === 'stop',
      ),
    ).toEqual([])
    expect(
      against(
        (s) => s.phase === 'closing' && s.switcher === 'gone',
        (step) => step.do === 'take over' || step.do === 'stop',
      ),
    ).toEqual([])
  })

  it('comes to an end: each step, done, leads on to another until the term is open', () => {
    const stuck = TABLE.filter(([first]) => {
      let now = first
      for (let steps = 0; steps < 8 && now.phase === 'closing'; steps += 1) {
        const step = decide(now)
        if (step.do === 'open') return false
        // Time passes: operations and carry-overs end, waits are over, a leader that does not go on is gone and replaced.
        const carried = now.carried === 'under way' ? 'done' : now.carried
        now =
          step.do === 'nothing'
            ? { ...now, waited: true, switcher: 'me', busy: false, carried }
            : done(now, step)
      }
      return first.phase === 'closing'
    })
    expect(stuck).toEqual([])
  })
})
