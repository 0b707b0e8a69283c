import type { Fleet } from '../fleet.js'
import { beaten, once, reigns, settled, turn } from './when.js'

/** When whoever was taken away begins again. */
const AGAIN_MS = 16_000

/** Whoever closes never hears that it did, while another instance is silent: it must lead all the same. */
export function lostClosing(fleet: Fleet): void {
  const { world, postgres, checker } = fleet
  settled(fleet, (leader) => {
    fleet.crash(2)
    const { number } = postgres.row
    postgres.led = () => {
      postgres.led = () => undefined
      leader.table.link.cut = true
      world.in(300, () => leader.table.link.heal())
      world.in(5000, () => {
        if (postgres.row.number === number) checker.wrong('a closing that hung')
      })
    }
    leader.controller.ask('postgres', 'operator')
  })
  world.at(AGAIN_MS, () => fleet.begin(2))
}

/** The statement that closes is stuck for so long that its leader counts as gone as soon as it is carried out. */
export function lateClosing(fleet: Fleet): void {
  const { world } = fleet
  settled(fleet, (leader, _, cutOff) => {
    const { link } = leader.table
    link.kept.add('close')
    leader.controller.ask('postgres', 'operator')
    once(
      fleet,
      () => link.keeps,
      () => {
        fleet.crash(0)
        world.in(2600, () =>
          beaten(fleet, cutOff, () => {
            link.letGo()
            // When it has heard that the term is open.
            world.in(20, () => {
              cutOff.table.link.cut = true
            })
            world.in(6000, () => cutOff.table.link.heal())
          }),
        )
      },
    )
  })
  world.at(AGAIN_MS, () => fleet.begin(0))
}

/** Two see that the leader is gone; the statement of one arrives when the other has long led. */
export function lateTakeOver(fleet: Fleet): void {
  const { world, postgres, checker } = fleet
  settled(fleet, (leader, next, late) => {
    const { link } = late.table
    const { number } = postgres.row
    link.kept.add('take over')
    postgres.led = () => {
      fleet.crash(0)
      postgres.led = () => {
        postgres.led = () => undefined
        world.in(1900, () => link.letGo())
        world.in(3500, () => {
          if (postgres.row.number === number) checker.wrong('a live leader that lost its lead')
        })
      }
      // So that the other is first to ask.
      world.in(1000, () => next.host.pause(2000))
      once(
        fleet,
        () => link.keeps,
        () => next.host.resume(),
      )
    }
    leader.controller.ask('postgres', 'operator')
  })
  world.at(AGAIN_MS, () => fleet.begin(0))
}

/** The statement that opens is stuck until the next term is closing. */
export function lateOpening(fleet: Fleet): void {
  const { world, postgres } = fleet
  settled(fleet, (leader, next, cutOff) => {
    const { link } = leader.table
    turn(fleet, leader, 'postgres', () => {
      link.kept.add('open')
      leader.controller.ask('redis', 'operator')
      once(
        fleet,
        () => link.keeps,
        () => {
          fleet.crash(0)
          reigns(fleet, 'redis', () =>
            world.in(800, () => {
              cutOff.table.link.cut = true
              world.in(6000, () => cutOff.table.link.heal())
              postgres.led = () => {
                postgres.led = () => undefined
                link.letGo()
              }
              next.controller.ask('postgres', 'operator')
            }),
          )
        },
      )
    })
  })
  world.at(AGAIN_MS, () => fleet.begin(0))
}
