import { rmSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import { embeddedFolder } from '../support/embedded.js'
import { startPostgres } from '../support/postgres.js'
import { check, type Run } from './checker.js'
import { Fleet } from './fleet.js'
import { chaosSeed, seeded } from './random.js'
import { World } from './world.js'

/** A longer run: CHAOS_ROUNDS=200. */
const ROUNDS = Number(process.env.CHAOS_ROUNDS ?? 20)
const FLOWS = ['north', 'south', 'east', 'west']
const PUBLISHERS = 16
const READERS = 12
/** Between two events of a publisher: enough are under way at any moment, and the servers that start have a core. */
const REST_MS = 25

const random = seeded(chaosSeed())
const between = (least: number, most: number) => least + Math.floor(random() * (most - least + 1))

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

function populate(fleet: Fleet): World {
  const world = new World(fleet, FLOWS, { restMs: REST_MS })
  for (let i = 0; i < PUBLISHERS; i++) world.publish(`p${i}`, FLOWS[i % FLOWS.length] ?? '')
  for (let i = 0; i < READERS; i++) world.read(`r${i}`, FLOWS[i % FLOWS.length] ?? '')
  return world
}

/** Waits for that many more answers; a server that ends by itself is a fault of its own. */
function acknowledged(world: World, fleet: Fleet, more: number): Promise<void> {
  return Promise.race([world.acknowledged(more), fleet.crashed])
}

function expectNoFault(run: Run, world: World): void {
  expect(check(run)).toEqual([])
  const stored = [...run.history.values()].reduce((sum, log) => sum + log.length, 0)
  expect(stored).toBeGreaterThanOrEqual(world.acks)
}

it('P1 P2 P3: kill -9 of one of two servers under load, again and again', { timeout: 300_000 }, async () => {
  const database = await freshDatabase()
  cleanups.push(() => database.drop())
  const fleet = new Fleet({ DATABASE_URL: database.url }, random)
  cleanups.push(() => fleet.stop())
  await fleet.start()
  await fleet.start()
  const world = populate(fleet)
  for (let round = 0; round < ROUNDS; round++) {
    await acknowledged(world, fleet, between(10, 200))
    await fleet.kill9()
    await fleet.start()
  }
  await acknowledged(world, fleet, 100)
  expectNoFault(await Promise.race([world.finish(), fleet.crashed]), world)
})

it('P1 P2 P3: PostgreSQL stopped at once and started under load', { timeout: 300_000 }, async () => {
  const postgres = await startPostgres()
  cleanups.push(() => postgres.remove())
  const { url } = await postgres.database()
  const fleet = new Fleet({ DATABASE_URL: url }, random)
  cleanups.push(() => fleet.stop())
  await fleet.start()
  await fleet.start()
  const world = populate(fleet)
  for (let round = 0; round < 3; round++) {
    await acknowledged(world, fleet, between(50, 300))
    await postgres.restart('immediate')
    await acknowledged(world, fleet, between(10, 100))
    const restarting = postgres.restart('immediate')
    await fleet.kill9()
    await restarting
    await fleet.start()
  }
  await acknowledged(world, fleet, 100)
  expectNoFault(await Promise.race([world.finish(), fleet.crashed]), world)
})

it('P1 P2: embedded, killed in the middle of writing, started on the same files', {
  timeout: 300_000,
}, async () => {
  const folder = await embeddedFolder()
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  const fleet = new Fleet({ SPILLWAY_DATA_DIR: folder }, random)
  cleanups.push(() => fleet.stop())
  await fleet.start()
  const world = populate(fleet)
  for (let round = 0; round < 5; round++) {
    await acknowledged(world, fleet, between(10, 300))
    await fleet.kill9()
    await fleet.start()
  }
  await acknowledged(world, fleet, 100)
  expectNoFault(await Promise.race([world.finish(), fleet.crashed]), world)
})
