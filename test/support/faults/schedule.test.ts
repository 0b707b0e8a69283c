import { expect, it } from 'vitest'
import { seeded } from '../../chaos/random.js'
import { eventually } from '../eventually.js'
import type { Nemesis } from './nemesis.js'
import { plan, play } from './schedule.js'

function recording(name: string, log: string[]): Nemesis {
  return {
    name,
    begin: async () => void log.push(`begin ${name}`),
    end: async () => void log.push(`end ${name}`),
  }
}

const nemeses = ['a', 'b', 'c'].map((name) => recording(name, []))
const shape = { forMs: 60_000, restMs: [100, 900], lastsMs: [200, 3000] } as const

it('gives the same schedule for the same seed, another for another', () => {
  const of = (seed: number) => plan(nemeses, { ...shape, random: seeded(seed) })
  expect(of(1)).toEqual(of(1))
  expect(of(1)).not.toEqual(of(2))
})

it('plans one fault at a time, of every kind before any comes again, and ends the last in time', () => {
  for (let seed = 0; seed < 200; seed++) {
    const planned = plan(nemeses, { ...shape, random: seeded(seed) })
    expect(planned.length).toBeGreaterThan(10)
    let free = 0
    for (const { at, until } of planned) {
      expect(at).toBeGreaterThanOrEqual(free + 100)
      expect(until - at).toBeGreaterThanOrEqual(200)
      free = until
    }
    expect(free).toBeLessThanOrEqual(60_000)
    const names = planned.map(({ nemesis }) => nemesis.name)
    for (let i = 0; i + 3 <= names.length; i += 3) expect(new Set(names.slice(i, i + 3)).size).toBe(3)
  }
})

it('begins and ends each, and says so', async () => {
  const log: string[] = []
  const said: string[] = []
  const schedule = ['a', 'b'].map((name, i) => ({
    at: i * 20,
    until: i * 20 + 10,
    nemesis: recording(name, log),
  }))
  await play(schedule, { say: (line) => said.push(line), signal: new AbortController().signal })
  expect(log).toEqual(['begin a', 'end a', 'begin b', 'end b'])
  expect(said.map((line) => line.replace(/^ *[\d.]+ s +/, ''))).toEqual([
    'begin  a',
    'end    a',
    'begin  b',
    'end    b',
  ])
})

it('begins none after its time, however long those before took', async () => {
  const log: string[] = []
  let now: () => void = () => undefined
  const slow = { ...recording('a', log), end: () => new Promise<void>((resolve) => (now = resolve)) }
  const schedule = [slow, recording('b', log)].map((nemesis) => ({ at: 0, until: 1, nemesis }))
  const began = performance.now()
  const playing = play(schedule, { say: () => undefined, signal: new AbortController().signal, forMs: 20 })
  await eventually(() => performance.now() - began > 25)
  now()
  await playing
  expect(log).toEqual(['begin a'])
})

it('ends the fault that is on when it is stopped, and begins no other', async () => {
  const log: string[] = []
  const stop = new AbortController()
  const schedule = ['a', 'b'].map((name) => ({ at: 0, until: 600_000, nemesis: recording(name, log) }))
  await play(schedule, { say: () => stop.abort(), signal: stop.signal })
  expect(log).toEqual(['begin a', 'end a'])
})
