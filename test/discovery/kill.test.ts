import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type FlowEvent, Spillway } from 'spillway'
import { describe, expect, it, onTestFinished } from 'vitest'
import { makeSample } from '../../examples/discovery/data/make-sample.js'
import { freshDatabase } from '../support/database.js'
import { historyOf, type Life, startLife } from './flows.js'
import { testFile, testFolder } from './tables.js'

const ROWS = 6000
const FLOW = 'inventory'
const MAX_LIVES = 40

/** A random moment in ms after the store is open; later lives are longer, so that some life sees the end. */
const momentOfDeath = (lives: number) => Math.round(10 + Math.random() * (150 + 120 * lives))

async function factsOf(postgres: string): Promise<FlowEvent[]> {
  const spillway = await Spillway.open({ postgres })
  try {
    return (await historyOf(spillway, FLOW)).filter((event) => event.type !== 'phase_progress')
  } finally {
    await spillway.close()
  }
}

async function placeToLive(file: string) {
  const database = await freshDatabase()
  onTestFinished(() => database.drop())
  return { file, dataDir: await testFolder(), postgres: database.url, flow: FLOW }
}

const plain = (events: readonly FlowEvent[]) => events.map(({ type, payload }) => ({ type, payload }))

describe('a run whose process is killed', () => {
  it('goes on each time, doubles no fact, and ends with the report of an undisturbed run', {
    timeout: 240_000,
  }, async () => {
    const file = await testFile(makeSample(ROWS, 11))
    const [calm, rough] = [await placeToLive(file), await placeToLive(file)]
    const undisturbed = await startLife(calm).ended
    expect(undisturbed).not.toBeNull()

    let life: Life | undefined
    onTestFinished(() => void life?.child.kill('SIGKILL'))
    const moments: number[] = []
    let result: string | null = null
    while (result === null && moments.length < MAX_LIVES) {
      life = startLife(rough)
      const { child, ready, ended } = life
      await ready
      const moment = momentOfDeath(moments.length)
      moments.push(moment)
      const timer = setTimeout(() => child.kill('SIGKILL'), moment)
      result = await ended
      clearTimeout(timer)
    }
    const context = `killed after ${moments.join(', ')} ms`
    expect(result, context).not.toBeNull()
    expect(moments.length, context).toBeGreaterThan(4)

    for (const name of ['report.json', 'report.csv', 'report.html', 'rejected.csv', 'rejected.jsonl']) {
      const at = join('discovery', 'default', FLOW, name)
      expect(
        (await readFile(join(rough.dataDir, at))).equals(await readFile(join(calm.dataDir, at))),
        `${name}, ${context}`,
      ).toBe(true)
    }
    expect(plain(await factsOf(rough.postgres)), context).toEqual(plain(await factsOf(calm.postgres)))
  })
})
