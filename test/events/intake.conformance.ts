import { expect, it } from 'vitest'
import type { FlowRef } from '../../src/tenant.js'
import { draft, eventOf, numbered, readAll, someFlow } from './drafts.js'
import { Counts, type LogStore } from './log-store.js'

/** What becomes of drafts, whichever way they take. */
export function intakeConformance(opened: () => LogStore): void {
  const append: LogStore['append'] = (drafts) => opened().append(drafts)
  /** The whole log of a flow, where all of it is. */
  const wholeOf = (ref: FlowRef) => opened().quietly(() => readAll(opened().log, ref))

  it('numbers the events of a flow 1, 2, 3 … in the order of the drafts', async () => {
    const { log, quietly, happening } = opened()
    const counts = new Counts(opened())
    const ref = someFlow()
    expect(counts.all(ref, await append(numbered(ref, 5)))).toEqual([1, 2, 3, 4, 5])
    await happening()
    expect(counts.all(ref, await append(numbered(ref, 3, 6)))).toEqual([6, 7, 8])
    await happening()
    const outcomes = await append(numbered(ref, 2, 9))
    expect(counts.all(ref, outcomes)).toEqual([9, 10])
    const { events, position, durability } = await quietly(() => log.read(ref, { order: 'asc', limit: 100 }))
    expect(events.map((event) => [counts.of(ref, event.seq), event.payload])).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => [n, String(n)]),
    )
    const last = eventOf(outcomes[1])
    const termFrom = events.find(({ term }) => term === last.term)?.seq
    expect(position).toMatchObject({ term: last.term, termFrom, head: last.seq, floor: 0 })
    expect(durability).toBe(opened().durability)
  })

  it('numbers many flows of many tenants in one batch, each on its own, old and new ones mixed', async () => {
    const counts = new Counts(opened())
    const refs = Array.from({ length: 60 }, (_, i) => someFlow(`tenant-${i % 7}`))
    const old = refs.filter((_, i) => i % 3 === 0)
    const begun = await append(old.map((ref) => draft(ref)))
    for (const [i, ref] of old.entries()) expect(counts.all(ref, [begun[i]])).toEqual([1])
    await opened().happening()
    const drafts = Array.from({ length: 300 }, (_, i) =>
      draft(refs[(i * 17) % refs.length] as FlowRef, { payload: String(i) }),
    )
    const outcomes = await append(drafts)
    const next = new Map(refs.map((ref, i) => [ref.flow, i % 3 === 0 ? 2 : 1]))
    drafts.forEach((one, i) => {
      const event = eventOf(outcomes[i])
      expect([counts.of(one, event.seq), event.payload]).toEqual([next.get(one.flow), one.payload])
      next.set(one.flow, (next.get(one.flow) as number) + 1)
    })
    await opened().quietly(async () => {
      for (const ref of refs) {
        const all = await readAll(opened().log, ref)
        expect(all.map((event) => counts.of(ref, event.seq))).toEqual(all.map((_, i) => i + 1))
        expect(all.length).toBe((next.get(ref.flow) as number) - 1)
      }
    })
  })

  it('keeps names apart, whatever they are made of', async () => {
    const odd = [
      `'; DROP TABLE spillway.events; --`,
      `"{a,b}"`,
      '{}',
      'NULL',
      'null',
      ' ',
      'a\\"b\\\\c',
      `\\'`,
      `E'\\''`,
      '$1',
      '%s%I',
      'ü'.repeat(60),
      'x'.repeat(128),
      '😀',
      '\u{10ffff}',
      '\uffff',
      '\ue000',
      '\ud7ff',
      'A',
      'a',
      'ä',
      'a\u0308',
      ':',
      '*',
      '{a}',
      '__proto__',
      'constructor',
    ]
    const refs = [
      ...odd.map((name) => ({ tenant: name, flow: name })),
      ...odd.map((name) => ({ tenant: 'acme', flow: `${name}!` })),
      { tenant: 'a', flow: 'b:c' },
      { tenant: 'a:b', flow: 'c' },
    ]
    const drafts = refs.map((ref, i) => draft(ref, { payload: String(i), type: 'type', source: ref.flow }))
    const counts = new Counts(opened())
    const first = await append(drafts)
    expect(refs.map((ref, i) => counts.of(ref, eventOf(first[i]).seq))).toEqual(refs.map(() => 1))
    await opened().happening()
    // The other way round, so that the caller's order is never the store's.
    const second = [...(await append([...drafts].reverse()))].reverse()
    expect(refs.map((ref, i) => counts.of(ref, eventOf(second[i]).seq))).toEqual(refs.map(() => 2))
    const pages = await opened().quietly(() =>
      opened().log.readSince(
        refs.map((ref) => ({ ...ref, after: 0 })),
        10,
      ),
    )
    pages.forEach((page, i) => {
      expect(page?.events.map((event) => [event.payload, event.source])).toEqual(
        [1, 2].map(() => [String(i), refs[i]?.flow]),
      )
    })
  })

  it('answers the first event to the same key in the same flow, within a batch and across batches', async () => {
    const ref = someFlow()
    // Where the store changes, a key is promised within a reign only.
    const keyed = opened().leaps ? opened().quietly : <T>(body: () => Promise<T>) => body()
    await keyed(async () => {
      const counts = new Counts(opened())
      const outcomes = await append([
        draft(ref, { key: 'k', payload: '"first"', type: 'first' }),
        draft(ref, { payload: '"between"' }),
        draft(ref, { key: 'k', payload: '"second"' }),
      ])
      expect(counts.all(ref, outcomes)).toEqual([1, 2, 1])
      expect(outcomes.map((outcome) => 'repeated' in outcome && outcome.repeated)).toEqual([
        false,
        false,
        true,
      ])
      if (!opened().leaps) await opened().happening()
      const [again, fresh] = await append([
        draft(ref, { key: 'k', payload: '"third"' }),
        draft(ref, { payload: '"new"' }),
      ])
      expect(again).toMatchObject({ repeated: true, event: eventOf(outcomes[0]) })
      expect(counts.all(ref, [fresh])).toEqual([3])
    })
    expect((await wholeOf(ref)).map((event) => event.payload)).toEqual(['"first"', '"between"', '"new"'])
  })

  it('takes the same key in another flow and of another tenant for another event', async () => {
    const refs = [someFlow(), someFlow(), someFlow('other')]
    const outcomes = await append(refs.map((ref) => draft(ref, { key: 'k' })))
    expect(outcomes.map((outcome) => 'repeated' in outcome && outcome.repeated)).toEqual([
      false,
      false,
      false,
    ])
  })

  it('answers one event to appends under one key that run at the same moment', async () => {
    const ref = someFlow()
    await opened().quietly(async () => {
      const batches = Array.from({ length: 8 }, (_, i) =>
        retried(() =>
          append([draft(ref, { key: 'same', payload: String(i) }), draft(ref, { payload: `"own ${i}"` })]),
        ),
      )
      const outcomes = (await Promise.all(batches)).map((batch) => batch[0])
      expect(new Set(outcomes.map((outcome) => eventOf(outcome).payload)).size).toBe(1)
      for (const outcome of outcomes) expect(eventOf(outcome)).toEqual(eventOf(outcomes[0]))
      expect(
        outcomes.filter((outcome) => outcome && 'repeated' in outcome && !outcome.repeated),
      ).toHaveLength(1)
      const counts = new Counts(opened())
      const all = await readAll(opened().log, ref)
      expect(all.map((event) => counts.of(ref, event.seq))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    })
  })

  it('keeps the durability of the first event; the draft that asks for another is refused, no hole is left', async () => {
    const { durability } = opened()
    const another = durability === 'durable' ? 'fast' : 'durable'
    const counts = new Counts(opened())
    const [ref, beside] = [someFlow(), someFlow()]
    expect(counts.all(ref, await append([draft(ref, { durability })]))).toEqual([1])
    await opened().happening()
    const outcomes = await append([
      draft(ref, { payload: '2' }),
      draft(ref, { durability: another }),
      draft(beside, { payload: '"beside"' }),
      draft(ref, { durability, payload: '3' }),
    ])
    expect(outcomes.map((o) => ('error' in o ? o.error.code : [o.event.payload, o.durability]))).toEqual([
      ['2', durability],
      'DURABILITY_FIXED',
      ['"beside"', durability],
      ['3', durability],
    ])
    expect(counts.all(ref, [outcomes[0], outcomes[3]])).toEqual([2, 3])
    expect((await wholeOf(ref)).map((event) => event.payload)).toEqual(['{}', '2', '3'])
    expect(await wholeOf(beside)).toHaveLength(1)
    expect(counts.all(ref, await append([draft(ref)]))).toEqual([4])
  })

  it('judges durability for each draft of a key that was published several times at once', async () => {
    const { durability } = opened()
    const another = durability === 'durable' ? 'fast' : 'durable'
    await opened().quietly(async () => {
      const ref = someFlow()
      await append([draft(ref)])
      const refused = (over: object) => draft(ref, { durability: another, ...over })
      const outcomes = await append([
        refused({ key: 'a', payload: '"never"' }),
        draft(ref, { key: 'a', durability, payload: '"a"' }),
        draft(ref, { key: 'b', payload: '"b"' }),
        refused({ key: 'b' }),
      ])
      expect(outcomes.map((o) => ('error' in o ? o.error.code : o.event.payload))).toEqual([
        'DURABILITY_FIXED',
        '"a"',
        '"b"',
        'DURABILITY_FIXED',
      ])
      const counts = new Counts(opened())
      const all = await readAll(opened().log, ref)
      expect(all.map((event) => [counts.of(ref, event.seq), event.payload])).toEqual([
        [1, '{}'],
        [2, '"a"'],
        [3, '"b"'],
      ])
    })
  })

  it('keeps a payload byte for byte', async () => {
    const ref = someFlow()
    const payloads = [
      String.raw`"\u0000\ud800 \udfff \uD83D\uDE00 \/"`,
      '12345678901234567890.12345678901234567890e-300',
      '{"__proto__":{"a":1},"a":1,"a":2}',
      '{ "spaced" : [ 1 ,2 ] }',
      '{"a":\n1}',
      String.raw`"\\ \" ' %"`,
      JSON.stringify('\u2028\u2029\u007f😀\uffff'),
      JSON.stringify('x'.repeat(200_000)),
      '-0',
      'null',
    ]
    const outcomes = await append(payloads.map((payload) => draft(ref, { payload })))
    expect(outcomes.map((outcome) => eventOf(outcome).payload)).toEqual(payloads)
    await opened().happening()
    expect((await wholeOf(ref)).map((event) => event.payload)).toEqual(payloads)
  })
}

/** Appends as the appender does: a busy flow is tried again. */
async function retried<T>(append: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await append()
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'FLOW_BUSY')) throw error
    }
  }
}
