import type { Fleet } from './fleet.js'

/** Time after which every fleet reigns on Redis, with leases there. */
const SETTLED_MS = 5000

/** Calls as soon as it holds; looked at every ms. */
function once(fleet: Fleet, holds: () => boolean, go: () => void): void {
  if (holds()) go()
  else fleet.world.in(1, () => once(fleet, holds, go))
}

/**
 * An instance that nobody has seen for longer than leases last comes back, and its first beat is slow to commit:
 * the others close and open without knowing of it, while it is told that the old term is open.
 */
export function unseenBeat(fleet: Fleet): void {
  const { world, postgres, lives, checker } = fleet
  world.in(SETTLED_MS, () => {
    const [leader, , silent] = lives
    if (!leader || !silent) return
    const { life } = silent.controller
    silent.table.link.cut = true
    world.in(9000, () => {
      silent.table.link.heal()
      const before = checker.beats(life)
      postgres.slow = { life, ms: 1200 }
      const begun = () => checker.beats(life) > before
      once(fleet, begun, () => leader.controller.ask('postgres', 'operator'))
      world.in(3000, () => {
        postgres.slow = undefined
      })
    })
  })
}

/** Whoever closes never hears that it did, while another instance is silent: it must lead all the same. */
export function lostClosing(fleet: Fleet): void {
  const { world, postgres, lives, checker } = fleet
  world.in(SETTLED_MS, () => {
    const [leader] = lives
    if (!leader) return
    fleet.crash(2)
    leader.controller.ask('postgres', 'operator')
    const { number } = postgres.row
    const closing = () => postgres.row.phase === 'closing'
    once(fleet, closing, () => {
      leader.table.link.cut = true
      world.in(300, () => leader.table.link.heal())
      world.in(5000, () => {
        if (postgres.row.number === number) checker.wrong('a closing that hung')
      })
    })
  })
  world.in(16_000, () => fleet.begin(2))
}
