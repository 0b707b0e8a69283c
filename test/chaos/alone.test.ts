import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type FlowEvent, type Gap, Spillway, SpillwayError } from '../../src/index.js'
import { eventually } from '../support/eventually.js'
import { redisFlushed, redisFrozen, redisKilled } from '../support/faults/redis-faults.js'
import { plan, play } from '../support/faults/schedule.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { check, type GapSighting, type Sighting } from './checker.js'
import { chaosSeed, seeded } from './random.js'

const FLOWS = ['one', 'two', 'three']
const SECONDS = Number(process.env.ALONE_SECONDS ?? 12)

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.remove())

/** What a reader saw of one flow; it goes to another instance now and then, with its last id. */
class Reader {
  readonly seen: (Sighting | GapSighting)[] = []
  readonly flow: string
  readonly after: string
  cursor: string
  readonly #instances: readonly Spillway[]
  readonly #restMs: number
  readonly #stopping = new AbortController()
  readonly #over: Promise<void>

  constructor(instances: readonly Spillway[], flow: string, after: string, restMs: number) {
    this.#instances = instances
    this.flow = flow
    this.after = after
    this.cursor = after
    this.#restMs = restMs
    this.#over = this.#read()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#over
  }

  async #read(): Promise<void> {
    const { signal } = this.#stopping
    for (let turn = 0; !signal.aborted; turn++) {
      const flow = (this.#instances[turn % this.#instances.length] as Spillway).tenant('t').flow(this.flow)
      const resting = new AbortController()
      const timer = setTimeout(() => resting.abort(), this.#restMs)
      const both = AbortSignal.any([signal, resting.signal])
      for await (const event of flow.subscribe({ after: this.cursor, signal: both })) {
        this.seen.push(sightingOf(event))
        this.cursor = event.id
      }
      clearTimeout(timer)
    }
  }
}

function sightingOf(event: FlowEvent): Sighting | GapSighting {
  if (event.type === 'gap') return { gap: event.payload as Gap }
  return { id: event.id, key: (event.payload as { key: string }).key }
}

it(
  'loses nothing unseen and repeats nothing, whatever becomes of the Redis that is the only store',
  async () => {
    const random = seeded(chaosSeed())
    const instances = await Promise.all([1, 2, 3].map(() => Spillway.open({ redis: server.url })))
    const attempted = new Map(FLOWS.map((flow) => [flow, new Set<string>()]))
    const acknowledged = new Map(FLOWS.map((flow): [string, Sighting[]] => [flow, []]))
    const codes = new Map<string, number>()
    const stopping = new AbortController()

    const publishOnce = async (instance: Spillway, flow: string, key: string) => {
      attempted.get(flow)?.add(key)
      try {
        const { id } = await instance.tenant('t').flow(flow).publish('tick', { key })
        acknowledged.get(flow)?.push({ id, key })
        return id
      } catch (error) {
        if (!(error instanceof SpillwayError && error.temporary)) throw error
        codes.set(error.code, (codes.get(error.code) ?? 0) + 1)
        return undefined
      }
    }
    const readers: Reader[] = []
    for (const flow of FLOWS) {
      const begun = await publishOnce(instances[0] as Spillway, flow, 'first:0')
      if (begun === undefined) throw new Error('Redis was away before anything had happened')
      for (const restMs of [300, 1700, 3_600_000]) readers.push(new Reader(instances, flow, begun, restMs))
    }
    const publishers = instances.flatMap((instance, i) =>
      FLOWS.map(async (flow) => {
        for (let n = 0; !stopping.signal.aborted; n++) {
          await publishOnce(instance, flow, `${i}:${n}`)
          await pause(5)
        }
      }),
    )
    const said: string[] = []
    const nemeses = [
      redisFlushed(server),
      redisFrozen(server),
      ...(['same', 'empty', 'truncated'] as const).map((data) => redisKilled(server, data)),
      redisKilled(server, 'older', () => pause(300)),
    ]
    const schedule = plan(nemeses, { random, forMs: SECONDS * 1000, restMs: [300, 900], lastsMs: [50, 700] })
    await play(schedule, { say: (line) => said.push(line), signal: new AbortController().signal })
    stopping.abort()
    await Promise.all(publishers)

    const history = new Map<string, Sighting[]>()
    for (const [i, flow] of FLOWS.entries()) {
      const last = await eventually(() => publishOnce(instances[i] as Spillway, flow, `last-${i}:${i}`), {
        what: 'a last event',
        withinMs: 20_000,
      })
      await eventually(
        () => readers.filter((reader) => reader.flow === flow).every(({ cursor }) => cursor === last),
        { what: `all readers of ${flow} come to ${last}`, withinMs: 20_000 },
      )
      history.set(flow, await wholeLog(instances[0] as Spillway, flow))
    }
    await Promise.all(readers.map((reader) => reader.stop()))
    await Promise.all(instances.map((instance) => instance.close()))

    const problems = check({
      attempted,
      acknowledged,
      history,
      fast: new Set(FLOWS),
      readings: readers.map(({ flow, after, seen }, i) => ({ reader: `reader ${i}`, flow, after, seen })),
    })
    const gaps = readers.flatMap(({ seen }) => seen.filter((item) => 'gap' in item))
    const count = [...acknowledged.values()].reduce((sum, events) => sum + events.length, 0)
    expect(problems, said.join('\n')).toEqual([])
    expect(new Set(gaps.map(({ gap }) => gap.reason))).toEqual(new Set(['turn']))
    expect(count).toBeGreaterThan(SECONDS * 20)
    for (const code of codes.keys()) expect(['STORE_UNAVAILABLE', 'OUTCOME_UNKNOWN']).toContain(code)
  },
  SECONDS * 1000 + 120_000,
)

async function wholeLog(instance: Spillway, flow: string): Promise<Sighting[]> {
  const log: Sighting[] = []
  for (let after = '0'; ; ) {
    const page = await instance.tenant('t').flow(flow).history({ after, limit: 1000 })
    for (const event of page) if (event.type !== 'gap') log.push(sightingOf(event) as Sighting)
    const last = page.at(-1)
    if (!last) return log
    after = last.id
  }
}
