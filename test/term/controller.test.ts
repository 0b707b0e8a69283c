import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type FreshDatabase, startPostgres } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type Instance, reigns, startInstance } from './fleet.js'

describe('the term, over a real PostgreSQL and a real Redis', () => {
  let database: FreshDatabase
  let server: RedisServer
  let fleet: Instance[]
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.remove())
  beforeEach(async () => {
    await server.start('same')
    await server.ask('FLUSHALL')
    database = await freshDatabase()
    fleet = []
    for (const name of ['a', 'b', 'c']) fleet.push(await startInstance(name, database.url, server.url))
  })
  afterEach(async () => {
    await Promise.all(fleet.map((instance) => instance.close()))
    await database.drop()
  })

  it('begins on PostgreSQL, goes to a Redis that is well, and away from one that is killed', async () => {
    const onRedis = await reigns(fleet, 'redis')
    expect(await server.ask('GET', 'term:marker:{b07}')).toContain(`${onRedis}:open:`)
    await server.kill()
    const away = await reigns(fleet, 'postgres', onRedis)
    expect(away).toBe(onRedis + 1)
    await server.start('same')
    expect(await reigns(fleet, 'redis', away)).toBe(away + 1)
  })

  it('goes away from a Redis that hangs', async () => {
    const onRedis = await reigns(fleet, 'redis')
    server.freeze()
    const away = await reigns(fleet, 'postgres', onRedis)
    server.thaw()
    await reigns(fleet, 'redis', away)
  })

  it.each([
    ['was emptied', () => server.ask('FLUSHALL')],
    [
      'was restarted empty',
      async () => {
        await server.kill()
        await server.start('empty')
      },
    ],
    [
      'was restarted with its data',
      async () => {
        await server.kill()
        await server.start('same')
      },
    ],
  ])('opens a new term on a Redis that %s', async (_, happen) => {
    const before = await reigns(fleet, 'redis')
    await happen()
    expect(await reigns(fleet, 'redis', before)).toBeGreaterThan(before)
  })

  const MARKER = 'term:marker:{b07}'
  it.each([
    [
      'has no right to what it does there',
      () => server.ask('ACL', 'SETUSER', 'default', '-set'),
      () => server.ask('ACL', 'SETUSER', 'default', '+set'),
    ],
    [
      'meets a key of another type',
      () =>
        server.ask(
          'EVAL',
          "redis.call('RENAME', KEYS[1], 'kept') redis.call('LPUSH', KEYS[1], 1)",
          '1',
          MARKER,
        ),
      () => server.ask('RENAME', 'kept', MARKER),
    ],
  ])(
    'stays on a Redis on which it %s: that is our own mistake, and PostgreSQL would not mend it',
    async (_, spoil, mend) => {
      const number = await reigns(fleet, 'redis')
      await spoil()
      try {
        await eventually(() => fleet.every(({ controller }) => controller.status.view === 'unsure'))
        const before = fleet.map(({ controller }) => controller.status.row?.openMs ?? 0)
        // Many looks in vain, and many beats.
        await eventually(() =>
          fleet.every(({ controller: { status } }, i) => (status.row?.openMs ?? 0) > (before[i] ?? 0) + 1000),
        )
        expect(fleet.map(({ controller }) => controller.reign?.number)).toEqual([number, number, number])
      } finally {
        await mend()
      }
      await eventually(() => fleet.every(({ controller }) => controller.status.view === 'ok'))
      expect(await reigns(fleet, 'redis')).toBe(number)
    },
  )

  it('opens one new term and not two: what an instance saw before says nothing about it', async () => {
    let number = await reigns(fleet, 'redis')
    for (let round = 0; round < 5; round++) {
      await server.ask('FLUSHALL')
      const next = await reigns(fleet, 'redis', number)
      expect(next).toBe(number + 1)
      number = next
    }
  })

  it('lets no operation out without trust, and none count that a turn has overtaken', async () => {
    const number = await reigns(fleet, 'redis')
    const [{ controller }] = fleet as [Instance]
    expect(await controller.operate(async (reign) => reign.number)).toBe(number)
    let release: () => void = () => undefined
    const hanging = controller.operate(() => new Promise<void>((resolve) => (release = resolve)))
    await server.kill()
    // It does not say that it has stopped while that is under way: the others wait for the whole trust.
    const away = await reigns(fleet.slice(1), 'postgres', number)
    release()
    await expect(hanging).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await reigns(fleet, 'postgres', number)
    expect(
      fleet.flatMap(({ steps }) => steps).filter(({ step, number: of }) => step === 'open' && of === number),
    ).toHaveLength(1)
    expect(away).toBe(number + 1)
  })

  it('survives the death of the instance that leads the turn', async () => {
    const number = await reigns(fleet, 'redis')
    const [a, b, c] = fleet as [Instance, Instance, Instance]
    await server.kill()
    // Whoever began is taken out before it can finish.
    const leads = ({ steps }: Instance) =>
      steps.some(({ step, number: of }) => step === 'close' && of === number)
    while (!fleet.some(leads)) await new Promise((resolve) => setTimeout(resolve, 1))
    const leader = [a, b, c].find(leads) as Instance
    await leader.die()
    await reigns(
      fleet.filter((instance) => instance !== leader),
      'postgres',
      number,
    )
  })

  it('goes on upon Redis without PostgreSQL only for what may, and not in a term that is known to close', async () => {
    const own = await startPostgres()
    try {
      const alone = await startInstance('alone', (await own.database()).url, server.url)
      fleet.push(alone)
      const number = await reigns([alone], 'redis')
      const { controller } = alone
      const numberOf = async (reign: { number: number }) => reign.number
      await own.stop('immediate')
      await eventually(() => controller.reign === undefined, { what: 'trust ends' })
      expect(await controller.operate(numberOf, { goOn: true })).toBe(number)
      await expect(controller.operate(numberOf)).rejects.toMatchObject({ code: 'TERM_UNKNOWN' })
      await own.start()
      await reigns([alone], 'redis')
      // It leads a closing, and PostgreSQL goes before it can open.
      controller.ask('postgres', 'operator')
      await eventually(() => controller.status.row?.phase === 'closing', { everyMs: 1, what: 'it closes' })
      await own.stop('immediate')
      await eventually(() => !controller.status.trusted, { what: 'trust ends' })
      expect(controller.status.row?.phase).toBe('closing')
      await expect(controller.operate(numberOf, { goOn: true })).rejects.toMatchObject({
        code: 'TERM_UNKNOWN',
      })
      await own.start()
      await reigns([alone], 'postgres')
    } finally {
      await own.remove()
    }
  })

  it('is trusted and led on while what there is to carry takes longer than any trust', async () => {
    const number = await reigns(fleet, 'redis')
    const released = new Map<string, () => void>()
    const parts: string[] = []
    for (const [i, { controller }] of fleet.entries()) {
      controller.join({
        name: 'heavy',
        carry: async (_, part) => {
          parts.push(part)
          await new Promise<void>((resolve) => released.set(`${part} ${i}`, resolve))
          return 1
        },
      })
    }
    fleet[0]?.controller.ask('postgres', 'drill')
    const away = await reigns(fleet, 'postgres', number)
    await eventually(() => parts.filter((part) => part === 'bulk').length === fleet.length)
    const openMs = () => fleet[1]?.controller.status.row?.openMs ?? 0
    const before = openMs()
    await eventually(() => {
      expect(fleet.map(({ controller }) => controller.reign?.number)).toEqual([away, away, away])
      return openMs() > before + 1500
    })
    for (const go of released.values()) go()
    await eventually(() => parts.includes('rest'))
    const leader = () => fleet[1]?.controller.status.row?.switcher
    const led = leader()
    const since = openMs()
    await eventually(() => openMs() > since + 1500)
    expect(leader()).toBe(led)
    expect(parts.filter((part) => part === 'rest')).toHaveLength(1)
    for (const go of released.values()) go()
    expect(await reigns(fleet, 'redis', away)).toBe(away + 1)
  })

  it('turns at an operator’s wish and stays there until another', async () => {
    const number = await reigns(fleet, 'redis')
    fleet[1]?.controller.ask('postgres', 'operator')
    const away = await reigns(fleet, 'postgres', number)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(await reigns(fleet, 'postgres')).toBe(away)
    fleet[2]?.controller.ask('redis', 'operator')
    await reigns(fleet, 'redis', away)
    fleet[0]?.controller.ask('postgres', 'drill')
    const drilled = await reigns(fleet, 'postgres', away + 1)
    expect(await reigns(fleet, 'redis', drilled)).toBe(drilled + 1)
  })
})
