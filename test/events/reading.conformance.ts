import fc from 'fast-check'
import { expect, it } from 'vitest'
import { resume } from '../../src/events/cursor.js'
import { draft, eventOf, numbered, readAll, someFlow } from './drafts.js'
import { Counts, type LogStore } from './log-store.js'

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

/** What readers get of a log, page by page and of many flows at once. */
export function readingConformance(opened: () => LogStore): void {
  it('keeps to the range, in both directions', async () => {
    const { log, quietly } = opened()
    const ref = someFlow()
    const seqs = (await opened().append(numbered(ref, 20))).map((outcome) => eventOf(outcome).seq)
    const [first, last] = [seqs[0] as number, seqs[19] as number]
    expect(seqs).toEqual(upTo(20).map((n) => first + n - 1))
    const bound = fc.option(fc.integer({ min: 0, max: 25 }), { nil: undefined })
    await quietly(() =>
      fc.assert(
        fc.asyncProperty(
          bound,
          bound,
          fc.constantFrom('asc' as const, 'desc' as const),
          fc.integer({ min: 1, max: 25 }),
          async (after, before, order, limit) => {
            const range = {
              order,
              limit,
              ...(after !== undefined && { after: first - 1 + after }),
              ...(before !== undefined && { before: first - 1 + before }),
            }
            const { events, position } = await log.read(ref, range)
            const within = upTo(20).filter((n) => n > (after ?? 0) && n < (before ?? 99))
            expect(events.map((event) => event.seq - first + 1)).toEqual(
              (order === 'asc' ? within : within.reverse()).slice(0, limit),
            )
            expect(position.head).toBe(last)
          },
        ),
        { numRuns: 40 },
      ),
    )
  })

  it('answers an empty log for a flow that was never written', async () => {
    const page = await opened().log.read(someFlow(), { order: 'asc', limit: 5 })
    expect(page).toMatchObject({ position: { head: 0, floor: 0 }, durability: null, events: [] })
    expect(resume(page.position, { term: page.position.term, seq: 0 })).toMatchObject({
      after: 0,
      gap: undefined,
    })
  })

  it('joins pages of any size to the same log', async () => {
    const { log, quietly, happening } = opened()
    const counts = new Counts(opened())
    const ref = someFlow()
    for (let from = 1; from <= 60; from += 20) {
      counts.all(ref, await opened().append(numbered(ref, 20, from)))
      await happening()
    }
    await quietly(async () => {
      const whole = await readAll(log, ref)
      expect(whole.map((event) => [counts.of(ref, event.seq), event.payload])).toEqual(
        upTo(60).map((n) => [n, String(n)]),
      )
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 70 }), async (limit) => {
          expect(await readAll(log, ref, limit)).toEqual(whole)
          const backwards = []
          for (let before: number | undefined; ; ) {
            const { events } = await log.read(ref, { order: 'desc', limit, ...(before && { before }) })
            if (events.length === 0) break
            backwards.push(...events)
            before = events.at(-1)?.seq
          }
          expect(backwards.reverse()).toEqual(whole)
        }),
        { numRuns: 12 },
      )
    })
  })

  it('ends a page by its bytes, and gives a large event alone', async () => {
    const { log, quietly } = opened()
    const ref = someFlow()
    const big = JSON.stringify('x'.repeat(1024 * 1024))
    const huge = JSON.stringify('y'.repeat(5 * 1024 * 1024))
    const outcomes = await opened().append(
      [big, big, big, big, huge, '1'].map((payload) => draft(ref, { payload })),
    )
    const before = eventOf(outcomes[0]).seq - 1
    const placesOf = (events: readonly { readonly seq: number }[]) => events.map(({ seq }) => seq - before)
    await quietly(async () => {
      const pageOf = async (order: 'asc' | 'desc', after: number) =>
        placesOf((await log.read(ref, { order, after: before + after, limit: 100 })).events)
      expect(await pageOf('asc', 0)).toEqual([1, 2, 3])
      expect(await pageOf('asc', 3)).toEqual([4])
      expect(await pageOf('asc', 4)).toEqual([5])
      expect(await pageOf('asc', 5)).toEqual([6])
      expect(await pageOf('desc', 0)).toEqual([6])
      expect((await readAll(log, ref)).map((event) => event.payload.length)).toEqual([
        ...Array(4).fill(big.length),
        huge.length,
        1,
      ])
      const [page] = await log.readSince([{ ...ref, after: before }], 100)
      expect(placesOf(page?.events ?? [])).toEqual([1, 2, 3])
    })
  })

  it('looks at many flows of many tenants in one go', async () => {
    const { log, quietly } = opened()
    const counts = new Counts(opened())
    const refs = Array.from({ length: 30 }, (_, i) => someFlow(`many-${i % 5}`))
    const drafts = refs.flatMap((ref, i) => numbered(ref, i))
    const outcomes = await opened().append(drafts)
    const seqs = new Map(refs.map((ref) => [ref.flow, [0]]))
    drafts.forEach((one, i) => {
      const { seq } = eventOf(outcomes[i])
      counts.of(one, seq)
      seqs.get(one.flow)?.push(seq)
    })
    const looks = refs.map((ref, i) => ({
      ...ref,
      after: i % 4 === 3 ? Number.MAX_SAFE_INTEGER : (seqs.get(ref.flow)?.[i >> 1] as number),
    }))
    const pages = await quietly(() => log.readSince(looks, 7))
    expect(pages).toHaveLength(30)
    pages.forEach((page, i) => {
      const ref = refs[i] as (typeof refs)[number]
      const all = seqs.get(ref.flow)?.slice(1) as number[]
      expect(page?.position.head).toBe(i === 0 ? 0 : all.at(-1))
      const after = looks[i]?.after as number
      expect(page?.events.map((event) => event.seq)).toEqual(all.filter((seq) => seq > after).slice(0, 7))
    })
    expect(await log.readSince([], 7)).toEqual([])
  })
}
