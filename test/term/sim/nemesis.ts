import type { Fleet } from './fleet.js'
import { thaw } from './link.js'

type Fault = (fleet: Fleet, place: number, lastMs: number) => void

const FAULTS: readonly (readonly [weight: number, Fault])[] = [
  [3, ({ lives }, place, lastMs) => lives[place]?.host.pause(lastMs)],
  [
    2,
    (fleet, place, lastMs) => {
      fleet.crash(place)
      fleet.world.in(lastMs, () => fleet.begin(place))
    },
  ],
  [
    1,
    (fleet, place, lastMs) => {
      void fleet.leave(place)
      fleet.world.in(lastMs, () => fleet.begin(place))
    },
  ],
  [
    3,
    ({ lives, world }, place, lastMs) => {
      const link = lives[place]?.markers.link
      if (!link) return
      link.cut = true
      world.in(lastMs, () => link.heal())
    },
  ],
  [
    3,
    ({ lives, world }, place, lastMs) => {
      const link = lives[place]?.table.link
      if (!link) return
      link.cut = true
      world.in(lastMs, () => link.heal())
    },
  ],
  [
    2,
    ({ lives, world }, place, lastMs) => {
      const life = lives[place]
      const link = world.chance(0.5) ? life?.markers.link : life?.table.link
      if (!link) return
      if (world.chance(0.5)) link.lossy = true
      else link.slowMs = world.between(50, 900)
      world.in(lastMs, () => link.heal())
    },
  ],
  [
    4,
    ({ redis, world }, _, lastMs) => {
      redis.kill()
      world.in(lastMs, () => redis.start(world.pick(['same', 'older', 'empty'])))
    },
  ],
  [2, ({ redis }) => redis.flush()],
  [
    2,
    ({ redis, world }, _, lastMs) => {
      redis.frozen = true
      world.in(lastMs, () => thaw(redis))
    },
  ],
  [
    1,
    ({ postgres, world }, _, lastMs) => {
      postgres.crash()
      world.in(lastMs, () => {
        postgres.up = true
      })
    },
  ],
  [
    1,
    ({ postgres, world }, _, lastMs) => {
      postgres.frozen = true
      world.in(Math.min(lastMs, 2500), () => thaw(postgres))
    },
  ],
  [
    1,
    ({ postgres, world }, _, lastMs) => {
      postgres.commitMs = 1200
      world.in(lastMs, () => {
        postgres.commitMs = 3
      })
    },
  ],
  [
    2,
    ({ lives, world }, place) =>
      lives[place]?.controller.ask(
        world.pick(['redis', 'postgres']),
        world.chance(0.5) ? 'operator' : 'drill',
      ),
  ],
]

const BAG = FAULTS.flatMap(([weight, fault]) => Array.from({ length: weight }, () => fault))

/** Breaks something every now and then until `until`; then everything is whole again. */
export function torment(fleet: Fleet, until: number): void {
  const { world, redis, postgres } = fleet
  const again = () => {
    if (world.now >= until) return
    world.pick(BAG)(
      fleet,
      Math.floor(world.random() * fleet.lives.length),
      world.between(100, world.chance(0.3) ? 8000 : 2500),
    )
    if (world.chance(0.3)) redis.save()
    world.in(world.between(50, 2200), again)
  }
  world.in(4000, again)
  world.at(until, () => {
    thaw(redis)
    thaw(postgres)
    redis.start('same')
    postgres.up = true
    postgres.commitMs = 3
    for (const [place, life] of fleet.lives.entries()) {
      life?.host.resume()
      life?.table.link.heal()
      life?.markers.link.heal()
      fleet.begin(place)
    }
  })
}
