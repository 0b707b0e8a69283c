import { describe, expect, it } from 'vitest'
import { checkLocks, type Entry, grantsIn } from './lock-checker.js'

const entry = (what: Entry['what'], fence: number, at: number, until = 0): Entry => ({
  ...{ what, lock: 'x', fence },
  ...{ at: BigInt(at), until: BigInt(until) },
})

describe('the checker of locks', () => {
  it('finds nothing wrong with holders behind one another', () => {
    const one = [entry('got', 1, 10, 20), entry('held', 1, 15, 30), entry('end', 1, 25)]
    const two = [entry('got', 2, 25, 40), entry('got', 7, 40, 50), entry('refused', 1, 0)]
    expect(checkLocks([one, two], [])).toEqual([])
    expect(grantsIn([one, two])).toBe(3)
  })

  it('finds two holders, also behind a renewal, and also if the first one was killed', () => {
    for (const first of [
      [entry('got', 1, 10, 30)],
      [entry('got', 1, 10, 20), entry('held', 1, 15, 30)],
      [entry('got', 1, 10, 30), entry('end', 1, 26)],
    ]) {
      const problems = checkLocks([first, [entry('got', 2, 25, 40)]], [])
      expect(problems).toEqual([expect.stringContaining('two holders of x')])
    }
    const long = [entry('got', 1, 10, 100)]
    expect(checkLocks([long, [entry('got', 2, 20, 30), entry('got', 3, 50, 60)]], [])).toHaveLength(2)
  })

  it('finds a fence that did not grow', () => {
    for (const second of [1, 2]) {
      expect(checkLocks([[entry('got', 2, 10, 20)], [entry('got', second, 20, 30)]], [])).toEqual([
        expect.stringContaining('a fence of x that did not grow'),
      ])
    }
  })

  it('finds the write of an old holder, lock by lock', () => {
    const write = (lock: string, fence: number) => ({ lock, fence })
    expect(checkLocks([], [write('x', 1), write('y', 9), write('x', 1), write('x', 3)])).toEqual([])
    expect(checkLocks([], [write('x', 1), write('x', 3), write('x', 2)])).toEqual([
      expect.stringContaining('an old holder of x wrote'),
    ])
  })

  it('tells of errors', () => {
    expect(checkLocks([[{ ...entry('error', 0, 0), error: 'oops' }]], [])).toEqual(['an error: oops'])
  })
})
