import { describe, expect, it } from 'vitest'
import { check, type GapSighting, type Sighting } from './checker.js'

/** Term 1 lost 1-3, which was acknowledged; the numbers leap, and term 2 goes on. */
const log: readonly Sighting[] = [
  { id: '1-1', key: 'a:0' },
  { id: '1-2', key: 'b:0' },
  { id: '2-100', key: 'a:1' },
  { id: '2-101', key: 'b:1' },
]
const lost = { id: '1-3', key: 'c:0' }
const turn: GapSighting = { gap: { from: '1-3', to: '2-99', reason: 'turn' } }
const told = [...log.slice(0, 2), turn, ...log.slice(2)]

function faults(change: {
  log?: readonly Sighting[]
  acknowledged?: readonly Sighting[]
  seen?: readonly (Sighting | GapSighting)[]
  others?: readonly (readonly (Sighting | GapSighting)[])[]
  repeated?: readonly string[]
  fast?: boolean
}) {
  const views = [change.seen ?? told, ...(change.others ?? [])]
  const problems = check({
    attempted: new Map([['f', new Set(['a:0', 'b:0', 'c:0', 'a:1', 'b:1'])]]),
    acknowledged: new Map([['f', change.acknowledged ?? [...log, lost]]]),
    history: new Map([['f', change.log ?? log]]),
    readings: views.map((seen, i) => ({ reader: `r${i}`, flow: 'f', after: '0', seen })),
    fast: new Set(change.fast === false ? [] : ['f']),
    repeated: new Set(change.repeated),
  })
  return [...new Set(problems.map(({ fault }) => fault))]
}

describe('a fast flow without fault', () => {
  it('may lose what its readers were told of', () => expect(faults({})).toEqual([]))
  it('may have shown what it then lost', () => {
    const gap = { gap: { from: '1-4', to: '2-99', reason: 'turn' } }
    expect(faults({ seen: [...log.slice(0, 2), lost, gap, ...log.slice(2)] })).toEqual([])
  })
  it('may get back what a turn gave up', () => {
    const back = [...log.slice(0, 2), lost, ...log.slice(2)]
    expect(faults({ log: back })).toEqual([])
  })
  it('may hold twice what its publisher sent twice', () => {
    const twice = [...log, { id: '2-102', key: 'b:1' }]
    expect(faults({ log: twice, seen: [...told, ...twice.slice(4)], repeated: ['b:1'] })).toEqual([])
  })
})

describe('in a fast flow finds', () => {
  it('a loss that a reader was not told of', () => expect(faults({ others: [log] })).toEqual(['unsignalled']))
  it('a gap that begins too late', () => {
    const late = { gap: { from: '1-50', to: '2-99', reason: 'turn' } }
    expect(faults({ seen: [...log.slice(0, 2), late, ...log.slice(2)] })).toEqual(['unsignalled'])
  })
  it('a gap that ends too early', () => {
    const short = { gap: { from: '1-3', to: '2-98', reason: 'turn' } }
    expect(faults({ seen: [...log.slice(0, 2), short, ...log.slice(2)] })).toEqual(['unsignalled'])
  })
  it('a loss at the end, where no gap tells', () =>
    expect(faults({ acknowledged: [...log, { id: '2-102', key: 'c:0' }] })).toEqual(['lost']))
  it('the number of a lost event given again', () => {
    expect(
      faults({ others: [[...log.slice(0, 1), { id: '1-2', key: 'c:0' }, turn, ...log.slice(2)]] }),
    ).toEqual(['reused'])
    expect(faults({ acknowledged: [{ id: '2-101', key: 'c:0' }] })).toContain('reused')
  })
  it('an event twice that was sent once', () => {
    const twice = [...log, { id: '2-102', key: 'b:1' }]
    expect(faults({ log: twice, seen: [...told, ...twice.slice(4)] })).toEqual(['duplicated', 'renumbered'])
  })
  it('an event under another number than its publisher got', () =>
    expect(faults({ acknowledged: [{ id: '1-2', key: 'a:1' }] })).toContain('renumbered'))
  it('an event of nobody', () => {
    const seen = [...told, { id: '2-102', key: 'z:9' }]
    expect(faults({ seen })).toEqual(['invented'])
  })
  it('a term that goes back while the numbers grow', () => {
    const back = [...log.slice(0, 3), { id: '1-101', key: 'b:1' }]
    expect(faults({ log: back, acknowledged: [], seen: [...told.slice(0, 4), ...back.slice(3)] })).toEqual([
      'reordered',
    ])
  })
  it('numbers that go back while the term grows', () => {
    const back = [...log.slice(0, 3), { id: '3-50', key: 'b:1' }]
    expect(faults({ log: back, acknowledged: [], seen: [...told.slice(0, 4), ...back.slice(3)] })).toEqual([
      'reordered',
    ])
  })
  it('a turn that was none', () => {
    const same = log.map(({ id, key }) => ({ id: id.replace('2-', '1-'), key }))
    const seen = [...same.slice(0, 2), { gap: { from: '1-3', to: '1-99', reason: 'turn' } }, ...same.slice(2)]
    expect(faults({ log: same, acknowledged: same, seen })).toEqual(['pretended'])
  })
  it('a trimming that was none', () => {
    const seen = [{ gap: { from: '1-1', to: '1-2', reason: 'trimmed' } }, turn, ...log.slice(2)]
    expect(faults({ seen })).toEqual(['pretended'])
  })
})

it('lets a durable flow pretend nothing, whatever the reason', () => {
  const durable = log.slice(0, 2)
  const seen = [...durable.slice(0, 1), { gap: { from: '1-2', to: '1-2', reason: 'turn' } }]
  expect(faults({ fast: false, log: durable, acknowledged: durable, seen })).toEqual(['pretended'])
})
