import type { Fleet, Life } from '../fleet.js'
import type { Link } from '../link.js'
import { once, reigns, settled, turn } from './when.js'

/** When whoever was taken away begins again. */
const AGAIN_MS = 17_000

/** Redis dies when the term is closing for it, and is back when it is too late. */
export function diesInReturn(fleet: Fleet): void {
  const { world, postgres, redis } = fleet
  settled(fleet, (leader) =>
    turn(fleet, leader, 'postgres', () =>
      world.in(2000, () => {
        postgres.led = () => {
          postgres.led = () => undefined
          redis.kill()
          world.in(1500, () => redis.start('same'))
        }
        leader.controller.ask('redis', 'operator')
      }),
    ),
  )
}

/** Who carries over is lost with a request of it on the way; another carries over and opens. Calls then. */
function lateCarry(fleet: Fleet, kind: 'carry' | 'mark', go: (link: Link, b: Life, c: Life) => void): void {
  settled(fleet, (a, b, c) => {
    const { link } = a.markers
    turn(fleet, a, 'postgres', () => {
      link.kept.add(kind)
      a.controller.ask('redis', 'operator')
      once(
        fleet,
        () => link.keeps,
        () => {
          fleet.crash(0)
          reigns(fleet, 'redis', () => go(link, b, c))
        },
      )
    })
  })
  fleet.world.at(AGAIN_MS, () => fleet.begin(0))
}

/** The marker of an earlier carry-over into a term arrives when that term is open. */
export function lateMarker(fleet: Fleet): void {
  const { world, postgres, checker } = fleet
  lateCarry(fleet, 'mark', (link) => {
    const { number } = postgres.row
    world.in(500, () => link.letGo())
    world.in(3000, () => {
      if (postgres.row.number !== number || postgres.row.phase !== 'open')
        checker.wrong('an open term that a late carry-over ended')
    })
  })
}

/** It arrives when Redis was just emptied, and an instance that begins then finds it. */
export function lateMarkerAfterFlush(fleet: Fleet): void {
  const { world, redis } = fleet
  lateCarry(fleet, 'mark', (link) =>
    world.in(500, () => {
      redis.flush()
      link.letGo()
      fleet.begin(0)
    }),
  )
}

/** The leases of an earlier carry-over into a term arrive right behind a grant in it, whose holder cannot ask again. */
export function lateLeases(fleet: Fleet): void {
  const { world, checker } = fleet
  lateCarry(fleet, 'carry', (late, _, holder) =>
    world.in(1500, () => {
      checker.watch = (who, kind) => {
        if (who !== holder.name || kind !== 'grant') return
        checker.watch = () => undefined
        const { link } = holder.markers
        world.in(10, () => {
          link.cut = true
          late.letGo()
        })
        world.in(3000, () => link.heal())
      }
    }),
  )
}

/** Redis is back at once with what it had a while ago, the marker of the term included. */
export function backWithOlderData(fleet: Fleet): void {
  const { world, redis } = fleet
  settled(fleet, () => {
    redis.save()
    world.in(1500, () => {
      redis.kill()
      redis.start('older')
    })
  })
}

/** Redis is back at once with all that it had, as far as can be told: its last second may be missing. */
export function backWithItsData(fleet: Fleet): void {
  const { world, postgres, redis, checker } = fleet
  settled(fleet, () => {
    const { number } = postgres.row
    redis.kill()
    redis.start('same')
    world.in(5000, () => {
      if (postgres.row.number === number) checker.wrong('another life of Redis that nobody noticed')
    })
  })
}

/** Calls when a request of a return to Redis was carried out there and its leader waits for the answer. */
function inReturn(fleet: Fleet, kind: 'carry' | 'mark', go: (link: Link) => void): void {
  settled(fleet, (leader) =>
    turn(fleet, leader, 'postgres', () =>
      fleet.world.in(2000, () => {
        const { link } = leader.markers
        link.kept.add(`answer to ${kind}`)
        leader.controller.ask('redis', 'operator')
        once(
          fleet,
          () => link.keeps,
          () => go(link),
        )
      }),
    ),
  )
}

/** Redis is emptied behind the leases that were carried into it. */
export function emptiedInCarry(fleet: Fleet): void {
  inReturn(fleet, 'carry', (link) => {
    fleet.redis.flush()
    link.letGo()
  })
}

/** Redis lost its data, and one who is not waited for any more says what it holds behind the carry-over into it. */
export function stopsBehindCarry(fleet: Fleet): void {
  const { postgres, redis } = fleet
  settled(fleet, (...lives) => {
    postgres.led = (life) => {
      postgres.led = () => undefined
      const [leader, late] = lives.toSorted((one) => (one.controller.life === life ? -1 : 1))
      if (!leader || !late) return
      late.table.link.kept.add('stop')
      const { link } = leader.markers
      link.kept.add('answer to carry')
      const stopped = () => postgres.instances.get(late.controller.life)?.stopped === postgres.row.number
      once(
        fleet,
        () => link.keeps,
        () => {
          late.table.link.letGo()
          once(fleet, stopped, () => link.letGo())
        },
      )
    }
    redis.kill()
    redis.start('empty')
  })
}

/** Redis is emptied behind the mark, and what is carried finds no trace of that. */
export function emptiedBehindMark(fleet: Fleet): void {
  const { postgres, redis, checker } = fleet
  inReturn(fleet, 'mark', (link) => {
    const { number } = postgres.row
    const { marker } = redis.data
    redis.flush()
    link.letGo()
    const opened = () => {
      if (marker === `${postgres.row.number}:carrying:${postgres.row.attempt}`)
        checker.wrong('a term in which nobody can work')
    }
    once(fleet, () => postgres.row.number > number, opened)
  })
}

/** Redis comes back with the mark and without what was carried behind it. */
export function backWithTheMark(fleet: Fleet): void {
  const { redis } = fleet
  inReturn(fleet, 'mark', (link) => {
    redis.save()
    link.letGo()
    link.kept.add('answer to carry')
    once(
      fleet,
      () => link.keeps,
      () => {
        redis.kill()
        redis.start('older')
        link.letGo()
      },
    )
  })
}
