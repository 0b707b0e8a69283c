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
