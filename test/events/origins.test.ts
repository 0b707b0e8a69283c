import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cursor, resume } from '../../src/events/cursor.js'
import { Spillway } from '../../src/index.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { gapOf, reading } from './readers.js'

describe('a flow that does not begin with 1', () => {
  const at = (term: number) => ({
    term,
    termFrom: 5_000_001,
    head: 5_000_009,
    floor: 0,
    origin: { term, seq: 5_000_000 },
  })

  it.each([
    ['comes for the first time', { term: 0, seq: 0 }],
    ['stood there in its term', { term: 7, seq: 0 }],
    ['stood there in a later one', { term: 9, seq: 0 }],
  ])('misses nothing before its first number for who %s', (_, cursor) => {
    expect(resume(at(7), cursor)).toMatchObject({ after: 5_000_000, gap: undefined })
  })

  it('may have lived before, for who stood at its beginning in an earlier term', () => {
    // The hole up to its first number is the gap.
    expect(resume(at(7), { term: 6, seq: 0 })).toMatchObject({ after: 0, gap: undefined })
  })

  it('sends whoever has what it never had to its first number, whatever that is', () => {
    const seq = fc.oneof(fc.nat({ max: 10 }), fc.integer({ min: 5_000_010, max: 999_999_999_999_999 }))
    fc.assert(
      fc.property(fc.integer({ min: 8, max: 999_999_999 }), seq, (term, far) => {
        const cursor: Cursor = { term, seq: far + 1 }
        const told = resume(at(7), cursor)
        expect(told.gap?.reason).toBe('unknown')
        expect(resume(at(7), { term: told.term, seq: told.after })).toMatchObject({
          after: 5_000_000,
          gap: undefined,
        })
      }),
    )
  })
})

describe('a cursor that another server gave, where Redis is the only store', () => {
  const servers: RedisServer[] = []
  const spillways: Spillway[] = []
  beforeAll(async () => {
    for (let i = 0; i < 2; i++) {
      const server = await startRedis()
      servers.push(server)
      spillways.push(await Spillway.open({ redis: server.url }))
    }
  })
  afterAll(async () => {
    await Promise.all(spillways.map((spillway) => spillway.close()))
    await Promise.all(servers.map((server) => server.remove()))
  })
  const numberOf = (i: number) => spillways[i]?.term.reign?.number ?? 0
  const flowOf = (i: number, name: string) => (spillways[i] as Spillway).tenant('acme').flow(name)
  const publish = (i: number, name: string, payload: unknown) =>
    eventually(() => flowOf(i, name).publish('tick', payload), { withinMs: 15_000 })
  /** Lets the one be in a later term than the other. */
  const later = async (i: number) => {
    while (numberOf(i) <= numberOf(1 - i)) {
      const before = numberOf(i)
      await servers[i]?.ask('FLUSHALL')
      await eventually(() => numberOf(i) > before, { withinMs: 15_000 })
    }
  }

  it.each([
    ['a later term', 0, true],
    ['an earlier term', 1, true],
    ['a later term, and younger flows', 0, false],
    ['an earlier term, and younger flows', 1, false],
  ])('is answered with one gap and the whole flow: of %s', async (what, i, olderFirst) => {
    await later(i)
    const [theirs, ours] = [0, 1]
    const name = `${what}`
    for (const one of olderFirst ? [theirs, ours] : [ours, theirs]) await publish(one, name, one)
    const { id } = await publish(theirs, name, 'theirs')
    await publish(ours, name, 'ours')
    const reader = reading((signal) => flowOf(ours, name).subscribe({ after: id, signal }))
    const [gap, ...events] = await reader.until(3)
    expect(gapOf(gap).flow).toBe(name)
    expect(events.map(({ payload }) => payload)).toEqual([ours, 'ours'])
    await publish(ours, name, 'live')
    expect((await reader.until(4)).at(-1)?.payload).toBe('live')
    await reader.stop()
  })

  it.each(['1-5', '2-999999999999999', '999999999-3', '999999999-999999999999999'])(
    'or one that no server of its kind gave: %s',
    async (after) => {
      const name = `of ${after}`
      await publish(1, name, 1)
      await publish(1, name, 2)
      const reader = reading((signal) => flowOf(1, name).subscribe({ after, signal }))
      expect((await reader.until(3)).map(({ type, payload }) => (type === 'gap' ? type : payload))).toEqual([
        'gap',
        1,
        2,
      ])
      const history = await flowOf(1, name).history({ after })
      expect(history.map(({ type, payload }) => (type === 'gap' ? type : payload))).toEqual(['gap', 1, 2])
      await reader.stop()
    },
  )
})
