import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Durability, FlowState, Spillway } from '../../src/index.js'
import { eventually } from '../support/eventually.js'

export interface StateStore {
  readonly spillway: Spillway
  /** Of flows of which nobody says it. */
  readonly durability: Durability
  close(): Promise<void>
}

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** What flows say of themselves, and how they are listed, whichever store has it. */
export function statesConformance(name: string, open: () => Promise<StateStore>): void {
  describe(name, () => {
    let store: StateStore
    let names = 0
    beforeAll(async () => {
      store = await open()
    })
    afterAll(() => store?.close())
    const someTenant = () => store.spillway.tenant(`tenant-${++names}`)

    describe('the state of a flow', () => {
      it('is replaced as a whole and given back as it was', async () => {
        const flow = someTenant().flow('f')
        expect([await flow.state(), await flow.meta()]).toEqual([null, null])
        const first = {
          status: 'running',
          current_phase: 'import',
          progress_percentage: 12.5,
          rows: [1, { a: 'ü😀\u0000' }],
        } as const
        expect(await flow.setState(first)).toEqual({
          status: 'running',
          phase: 'import',
          progress: 12.5,
          updated_at: expect.stringMatching(ISO),
        })
        expect(await flow.state()).toEqual(first)
        const meta = await flow.setState({ note: 'x' })
        expect(await flow.state()).toEqual({ note: 'x' })
        expect(await flow.meta()).toEqual(meta)
        expect(meta).toMatchObject({ status: 'pending', phase: null, progress: null })
      })

      it('is kept apart from prototypes', async () => {
        const flow = someTenant().flow('f')
        const state: FlowState = JSON.parse(
          '{"__proto__":{"status":"failed"},"constructor":1,"toString":"x"}',
        )
        expect(await flow.setState(state)).toMatchObject({ status: 'pending' })
        expect(JSON.stringify(await flow.state())).toBe(JSON.stringify(state))
      })

      it('is gone after clearState, while the events and the flow stay', async () => {
        const tenant = someTenant()
        const flow = tenant.flow('f')
        await flow.clearState()
        const { id } = await flow.publish('tick')
        await flow.setState({ status: 'completed', engagement: 'e' })
        await flow.clearState()
        expect([await flow.state(), await flow.meta()]).toEqual([null, null])
        expect(await flow.history()).toHaveLength(1)
        expect(await tenant.flows()).toMatchObject([
          { flow: 'f', status: 'pending', phase: null, progress: null, engagement: null, last_event_id: id },
        ])
        expect(await tenant.flows({ engagement: 'e' })).toEqual([])
      })

      it('survives writers at the same moment: one of them is last', async () => {
        const flow = someTenant().flow('f')
        await Promise.all(Array.from({ length: 20 }, (_, n) => flow.setState({ n, status: 'running' })))
        expect(await flow.state()).toEqual({ n: expect.any(Number), status: 'running' })
      })

      const cyclic: Record<string, unknown> = {}
      cyclic.self = cyclic
      it.each([
        ['null', null, 'INVALID_ARGUMENT'],
        ['an array', [], 'INVALID_ARGUMENT'],
        ['a text', 'running', 'INVALID_ARGUMENT'],
        ['a date, which is a text as JSON', new Date(), 'INVALID_ARGUMENT'],
        ['what is nothing as JSON', { toJSON: () => undefined }, 'INVALID_ARGUMENT'],
        ['an unknown status', { status: 'done' }, 'INVALID_ARGUMENT'],
        ['a status of another type', { status: 1 }, 'INVALID_ARGUMENT'],
        ['a status that every object has', { status: 'toString' }, 'INVALID_ARGUMENT'],
        ['too much progress', { progress_percentage: 100.1 }, 'INVALID_ARGUMENT'],
        ['negative progress', { progress_percentage: -1 }, 'INVALID_ARGUMENT'],
        ['no number as progress', { progress_percentage: Number.NaN }, 'INVALID_ARGUMENT'],
        ['progress as a text', { progress_percentage: '5' }, 'INVALID_ARGUMENT'],
        ['a phase that is no text', { current_phase: 5 }, 'INVALID_ARGUMENT'],
        ['a phase with NUL', { current_phase: 'a\u0000' }, 'INVALID_ARGUMENT'],
        ['a long phase', { current_phase: 'ü'.repeat(129) }, 'INVALID_ARGUMENT'],
        ['an empty engagement', { engagement: '' }, 'INVALID_NAME'],
        ['an engagement with a line break', { engagement: 'a\nb' }, 'INVALID_NAME'],
        ['an engagement that is no text', { engagement: 5 }, 'INVALID_NAME'],
        ['a circle', cyclic, 'INVALID_JSON'],
        ['a bigint', { n: 1n }, 'INVALID_JSON'],
        ['too much', { text: 'x'.repeat(1024 * 1024) }, 'PAYLOAD_TOO_LARGE'],
      ])('is refused when it is %s, and nothing is written', async (_, state, code) => {
        const tenant = someTenant()
        const flow = tenant.flow('f')
        await expect(flow.setState(state as unknown as FlowState)).rejects.toMatchObject({
          code,
          temporary: false,
        })
        expect(await tenant.flows()).toEqual([])
      })
    })

    describe('the flows of a tenant', () => {
      it('are listed with the last active first, by engagement, status and number', async () => {
        const tenant = someTenant()
        const statuses = ['pending', 'running', 'waiting', 'completed', 'failed', 'cancelled'] as const
        for (let i = 0; i < 12; i++) {
          await tenant.flow(`f${i}`).setState({
            status: statuses[i % 6],
            current_phase: `p${i}`,
            progress_percentage: i,
            ...(i % 2 === 0 && { engagement: `e${i % 4}` }),
          })
        }
        await tenant.flow('f3').setState({ status: 'running' })
        const listed = async (query: Parameters<typeof tenant.flows>[0]) =>
          (await tenant.flows(query)).map(({ flow }) => flow)
        expect(await listed({})).toEqual([
          'f3',
          'f11',
          'f10',
          'f9',
          'f8',
          'f7',
          'f6',
          'f5',
          'f4',
          'f2',
          'f1',
          'f0',
        ])
        expect(await listed({ recent: 2 })).toEqual(['f3', 'f11'])
        expect(await listed({ limit: 1, recent: 5 })).toEqual(['f3'])
        expect(await listed({ engagement: 'e0' })).toEqual(['f8', 'f4', 'f0'])
        expect(await listed({ engagement: 'e2', status: 'waiting' })).toEqual(['f2'])
        expect(await listed({ status: 'running' })).toEqual(['f3', 'f7', 'f1'])
        expect(await listed({ engagement: "e0' OR true --" })).toEqual([])
        expect(await tenant.flows({ engagement: 'e0', limit: 1 })).toEqual([
          {
            flow: 'f8',
            status: 'waiting',
            phase: 'p8',
            progress: 8,
            engagement: 'e0',
            durability: null,
            last_event_id: null,
            created_at: expect.stringMatching(ISO),
            updated_at: expect.stringMatching(ISO),
            active_at: expect.stringMatching(ISO),
          },
        ])
      })

      it('include those that have events and no state', async () => {
        const tenant = someTenant()
        const { durability } = store
        const plain = await tenant.flow('plain').publish('tick')
        // The order of a list is that of milliseconds.
        await eventually(() => Date.now() > Date.parse(plain.timestamp) + 1)
        const [, second] = await tenant
          .flow('fast', { durability: 'fast' })
          .publishMany([{ type: 'a' }, { type: 'b' }])
        // A list may follow by some hundred ms.
        await eventually(async () => (await tenant.flows()).length === 2)
        expect(await tenant.flows()).toMatchObject([
          { flow: 'fast', durability: 'fast', last_event_id: second?.id, status: 'pending' },
          { flow: 'plain', durability, last_event_id: plain.id, status: 'pending' },
        ])
        expect(await tenant.flow('fast').meta()).toBeNull()
      })

      it('are its own', async () => {
        const [one, two] = [someTenant(), someTenant()]
        await one.flow('f').setState({ status: 'running', engagement: 'e' })
        expect(await two.flows()).toEqual([])
        expect(await two.flows({ engagement: 'e' })).toEqual([])
        expect(await two.flow('f').state()).toBeNull()
        await two.flow('f').clearState()
        expect(await one.flow('f').state()).toMatchObject({ status: 'running' })
      })

      it.each([
        { limit: 0 },
        { limit: 1001 },
        { limit: 1.5 },
        { limit: Number.NaN },
        { recent: 0 },
        { recent: -1 },
        { status: 'done' },
        { engagement: '' },
        { engagement: 'x'.repeat(257) },
      ])('are not listed by %j', async (query) => {
        const listing = someTenant().flows(query as Parameters<ReturnType<typeof someTenant>['flows']>[0])
        await expect(listing).rejects.toMatchObject({ status: 400 })
      })
    })
  })
}
