import type { LimitSpec } from '../../src/limits/limits.js'
import { type Child, runChild } from '../postgres/children.js'

/** A take that was let pass. */
export interface Passed {
  /** Which of the takes it was. */
  readonly take: number
  /** Of the clock that all processes of this machine share, in ms. */
  readonly askedAt: number
  readonly answeredAt: number
  readonly by: string
}

export interface Report {
  readonly passed: readonly Passed[]
  readonly denied: Readonly<Record<string, number>>
  readonly errors: readonly string[]
}

export interface Load {
  readonly tenant: string
  /** One of them at random, again and again. */
  readonly takes: readonly (readonly LimitSpec[])[]
  readonly callers: number
  /** Undefined: until it is told to stop. */
  readonly forMs?: number
  /** Between two takes of a caller. */
  readonly pauseMs?: number
}

const PROGRAM = `
const queue = []
let wake = () => undefined
let stopped = false
lines.on('line', (line) => {
  if (line === 'stop') stopped = true
  else queue.push(JSON.parse(line))
  wake()
})
const next = async () => {
  while (queue.length === 0) await new Promise((resolve) => { wake = resolve })
  return queue.shift()
}
const { Spillway } = await built('index.js')
const spillway = await Spillway.open(await next())
const now = () => Number(process.hrtime.bigint()) / 1e6
say('open')
for (;;) {
  const { tenant, takes, callers, forMs = Infinity, pauseMs = 1 } = await next()
  stopped = false
  const { limits } = spillway.tenant(tenant)
  const [passed, denied, errors] = [[], {}, []]
  const end = now() + forMs
  const caller = async () => {
    while (now() < end && !stopped) {
      const take = Math.floor(Math.random() * takes.length)
      const askedAt = now()
      try {
        const verdict = await limits.take(takes[take])
        const by = verdict.decidedBy
        if (verdict.allowed) passed.push({ take, askedAt, answeredAt: now(), by })
        else denied[by] = (denied[by] ?? 0) + 1
        if (!verdict.allowed || pauseMs > 1) await new Promise((resolve) => setTimeout(resolve, pauseMs))
      } catch (error) {
        errors.push(error.code ?? String(error))
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  say(JSON.stringify({ passed, denied, errors }))
}
`

/** Processes of their own that take from the same limits. */
export class Takers {
  readonly #children: readonly Child[]

  private constructor(children: readonly Child[]) {
    this.#children = children
  }

  static async start(count: number, options: { postgres: string; redis?: string }): Promise<Takers> {
    const children = Array.from({ length: count }, () => runChild(PROGRAM))
    for (const child of children) child.say(JSON.stringify({ ...options, config: { poolSize: 4 } }))
    for (const child of children) await child.line()
    return new Takers(children)
  }

  async run(load: Load): Promise<Report> {
    for (const child of this.#children) child.say(JSON.stringify(load))
    const reports: Report[] = []
    for (const child of this.#children) reports.push(JSON.parse(await child.line()))
    const denied: Record<string, number> = {}
    for (const report of reports) {
      for (const [by, count] of Object.entries(report.denied)) denied[by] = (denied[by] ?? 0) + count
    }
    return {
      passed: reports.flatMap(({ passed }) => passed),
      denied,
      errors: reports.flatMap(({ errors }) => errors),
    }
  }

  stop(): void {
    for (const child of this.#children) child.say('stop')
  }

  async kill(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.kill()))
  }
}

/** What passed of one limit: when, and how heavily. */
export function passedOf(report: Report, { takes }: Load, name: string): (Passed & { cost: number })[] {
  return report.passed.flatMap((one) => {
    const spec = takes[one.take]?.find((limit) => limit.name === name)
    return spec ? [{ ...one, cost: spec.cost ?? 1 }] : []
  })
}

export function sumOf(passed: readonly { cost: number }[]): number {
  return passed.reduce((sum, { cost }) => sum + cost, 0)
}

/** The most that surely passed within any stretch of that length: asked in it, and answered in it. */
export function mostWithin(passed: readonly (Passed & { cost: number })[], ms: number): number {
  return Math.max(
    0,
    ...passed.map(({ askedAt: from }) =>
      sumOf(passed.filter(({ askedAt, answeredAt }) => askedAt >= from && answeredAt <= from + ms)),
    ),
  )
}
