import { describe, expect, it } from 'vitest'
import { check, type Reading, type Run, type Sighting } from './checker.js'

const log: readonly Sighting[] = [
  { id: '1-1', key: 'a:0' },
  { id: '1-2', key: 'b:0' },
  { id: '1-3', key: 'a:1' },
  { id: '1-4', key: 'b:1' },
]
const reading: Reading = { reader: 'r', flow: 'f', after: '0', seen: log }

function faults(change: {
  log?: readonly Sighting[]
  acknowledged?: readonly Sighting[]
  reading?: Partial<Reading>
}) {
  const run: Run = {
    attempted: new Map([['f', new Set(['a:0', 'b:0', 'a:1', 'b:1', 'c:0'])]]),
    acknowledged: new Map([['f', change.acknowledged ?? log]]),
    history: new Map([['f', change.log ?? log]]),
    readings: [{ ...reading, seen: change.log ?? log, ...change.reading }],
  }
  return [...new Set(check(run).map(({ fault }) => fault))]
}

const without = (id: string) => log.filter((event) => event.id !== id)

describe('a run without fault', () => {
  it('passes', () => expect(faults({})).toEqual([]))
  it('may hold events whose answer was lost', () =>
    expect(faults({ acknowledged: log.slice(0, 2) })).toEqual([]))
  it('may begin after a cursor', () =>
    expect(faults({ reading: { after: '1-2', seen: log.slice(2) } })).toEqual([]))
  it('may have a gap that was said', () => {
    const kept = log.slice(2)
    const seen = [{ gap: { from: '1-1', to: '1-2', reason: 'trimmed' } }, ...kept]
    expect(faults({ log: kept, acknowledged: kept, reading: { seen } })).toEqual([])
  })
})

describe('finds what was', () => {
  it('lost at the end of the log', () => {
    expect(faults({ log: log.slice(0, 3), acknowledged: log })).toEqual(['lost'])
  })
  it('lost in the middle of the log', () => {
    expect(faults({ log: without('1-2'), acknowledged: log })).toEqual(['renumbered', 'lost', 'unsignalled'])
  })
  it('stored twice', () => {
    expect(faults({ log: [...log, { id: '1-5', key: 'b:1' }] })).toContain('duplicated')
  })
  it('stored in another order than its publisher sent it', () => {
    const swapped = log.map(({ id, key }) => ({ id, key: { 'a:0': 'a:1', 'a:1': 'a:0' }[key] ?? key }))
    expect(faults({ log: swapped, acknowledged: [] })).toEqual(['reordered'])
  })
  it('given in another order by the pages', () => {
    const pages = [log[1], log[0], log[2], log[3]].flatMap((event) => event ?? [])
    expect(faults({ log: pages, acknowledged: [], reading: { seen: log } })).toContain('reordered')
  })
  it('numbered otherwise than it was acknowledged', () => {
    expect(faults({ acknowledged: [{ id: '1-3', key: 'b:1' }] })).toEqual(['renumbered'])
  })
  it('published by nobody', () => {
    expect(faults({ log: [...log, { id: '1-5', key: 'z:0' }] })).toContain('invented')
  })
  it('seen twice by a reader', () => {
    expect(faults({ reading: { seen: [...log, ...log.slice(3)] } })).toEqual(['duplicated'])
  })
  it('seen by a reader in another order', () => {
    expect(faults({ reading: { seen: [...log.slice(1), ...log.slice(0, 1)] } })).toContain('reordered')
  })
  it('passed over by a reader', () => {
    expect(faults({ reading: { seen: without('1-2') } })).toEqual(['unsignalled'])
  })
  it('never seen by a reader, at the end', () => {
    expect(faults({ reading: { seen: log.slice(0, 3) } })).toEqual(['unsignalled'])
  })
  it('seen by a reader as something else', () => {
    const seen = log.map(({ id, key }) => ({ id, key: key === 'b:0' ? 'c:0' : key }))
    expect(faults({ reading: { seen } })).toEqual(['invented'])
  })
})
