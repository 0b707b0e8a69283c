import type { Fleet } from './fleet.js'
import { type Link, thaw } from './link.js'

/** Something that happens at one place, or to a store, for a while. */
type Fault = (fleet: Fleet, place: number, lastMs: number) => void

function pause({ lives }: Fleet, place: number, lastMs: number): void {
  lives[place]?.host.pause(lastMs)
}

function crash(fleet: Fleet, place: number, lastMs: number): void {
  fleet.crash(place)
  fleet.world.in(lastMs, () => fleet.begin(place))
}

function leave(fleet: Fleet, place: number, lastMs: number): void {
  void fleet.leave(place)
  fleet.world.in(lastMs, () => fleet.begin(place))
}

/** Changes the way from one instance to one store for a while. */
function onTheWay(change: (link: Link, fleet: Fleet) => void, to?: 'redis' | 'postgres'): Fault {
  return (fleet, place, lastMs) => {
    const { lives, world } = fleet
    const life = lives[place]
    const toRedis = to === undefined ? world.chance(0.5) : to === 'redis'
    const link = toRedis ? life?.markers.link : life?.table.link
    if (!link) return
    change(link, fleet)
    world.in(lastMs, () => link.heal())
  }
}

const cut = (link: Link) => {
  link.cut = true
}
const deafen = (link: Link) => {
  link.deaf = true
}
const disturb = (link: Link, { world }: Fleet) => {
  if (world.chance(0.5)) link.lossy = true
  else link.slowMs = world.between(50, 900)
}
/** The longest delay is longer than two turns take. */
const holdUp = (link: Link, { world }: Fleet) => {
  link.lateMs = world.pick([1500, 4000, 12_000])
}

/** Stands still with an operation under way that was carried out. */
function pauseBetween({ lives, checker }: Fleet, place: number, lastMs: number): void {
  const life = lives[place]
  if (!life) return
  checker.watch = (who) => {
    if (who !== life.name) return
    checker.watch = () => undefined
    life.host.pause(lastMs)
  }
}

/** Whoever next leads a closing is lost at once. */
function loseLeader(fleet: Fleet, _: number, lastMs: number): void {
  const { lives, world, postgres } = fleet
  const lose = world.pick([pause, crash, onTheWay(cut, 'postgres'), onTheWay(deafen, 'postgres')])
  postgres.led = (leader) => {
    postgres.led = () => undefined
    const place = lives.findIndex((life) => life?.controller.life === leader)
    if (place >= 0) lose(fleet, place, lastMs)
  }
}

function killRedis({ redis, world }: Fleet, _: number, lastMs: number): void {
  redis.kill()
  world.in(lastMs, () => redis.start(world.pick(['same', 'older', 'empty'])))
}

function freezeRedis({ redis, world }: Fleet, _: number, lastMs: number): void {
  redis.frozen = true
  world.in(lastMs, () => thaw(redis))
}

function crashPostgres({ postgres, world }: Fleet, _: number, lastMs: number): void {
  postgres.crash()
  world.in(lastMs, () => {
    postgres.up = true
  })
}

function freezePostgres({ postgres, world }: Fleet, _: number, lastMs: number): void {
  postgres.frozen = true
  world.in(Math.min(lastMs, 2500), () => thaw(postgres))
}

function slowCommits({ postgres, world }: Fleet, _: number, lastMs: number): void {
  postgres.commitMs = 1200
  world.in(lastMs, () => {
    postgres.commitMs = 3
  })
}

function operate({ lives, world }: Fleet, place: number): void {
  const store = world.pick(['redis', 'postgres'] as const)
  lives[place]?.controller.ask(store, world.chance(0.5) ? 'operator' : 'drill')
}

/** Two want different things at once. */
function disagree({ lives }: Fleet, place: number): void {
  lives[place]?.controller.ask('postgres', 'operator')
  lives[(place + 1) % lives.length]?.controller.ask('redis', 'operator')
}

const FAULTS: readonly (readonly [weight: number, Fault])[] = [
  [3, pause],
  [2, pauseBetween],
  [2, crash],
  [1, leave],
  [3, onTheWay(cut, 'redis')],
  [3, onTheWay(cut, 'postgres')],
  [1, onTheWay(deafen)],
  [2, onTheWay(disturb)],
  [3, onTheWay(holdUp)],
  [3, loseLeader],
  [4, killRedis],
  [2, ({ redis }) => redis.flush()],
  [2, freezeRedis],
  [1, crashPostgres],
  [1, freezePostgres],
  [1, slowCommits],
  [2, operate],
  [1, disagree],
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
    fleet.checker.watch = () => undefined
    postgres.led = () => undefined
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
