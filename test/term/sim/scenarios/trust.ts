import type { Fleet } from '../fleet.js'
import { beaten, once, reigns, settled, turn } from './when.js'

/**
 * An instance that nobody has seen for longer than leases last comes back, and its first beat is slow to commit:
 * the others close and open without knowing of it, while it is told that the old term is open.
 */
export function unseenBeat(fleet: Fleet): void {
  const { world, postgres } = fleet
  settled(fleet, (leader, _, silent) => {
    silent.table.link.cut = true
    world.in(9000, () => {
      silent.table.link.heal()
      postgres.slow = { life: silent.controller.life, ms: 1200 }
      beaten(fleet, silent, () => leader.controller.ask('postgres', 'operator'))
      world.in(3000, () => {
        postgres.slow = undefined
      })
    })
  })
}

/** The answer to an instance's second beat is overtaken by that to its third, and comes when it has stopped. */
export function overtakenBeat(fleet: Fleet): void {
  const { world, postgres, checker } = fleet
  settled(fleet, (leader) => {
    void fleet.leave(2)
    world.in(100, () => {
      fleet.begin(2)
      const late = fleet.lives[2]
      if (!late) return
      const { link } = late.table
      const { life } = late.controller
      postgres.slow = { life, ms: 20 }
      // What it sees of Redis is a reason to beat: not before the second is under way.
      late.markers.link.kept.add('answer to look')
      once(
        fleet,
        () => checker.beats(life) === 2,
        () => link.kept.add('answer to beat'),
      )
      once(
        fleet,
        () => link.keeps,
        () => {
          link.kept.clear()
          late.markers.link.letGo()
          leader.controller.ask('postgres', 'operator')
          reigns(fleet, 'postgres', () => {
            link.letGo()
            link.cut = true
            world.in(3000, () => link.heal())
          })
        },
      )
    })
  })
}

/** An instance loses PostgreSQL, the term is closed, and it goes on with its locks on Redis for as long as it may. */
export function silentHolder(fleet: Fleet): void {
  const { world } = fleet
  settled(fleet, (leader, _, silent) =>
    beaten(fleet, silent, () => {
      // When it has heard that the term is open.
      world.in(20, () => {
        silent.table.link.cut = true
        leader.controller.ask('postgres', 'operator')
      })
      world.in(9000, () => silent.table.link.heal())
    }),
  )
}

/** The answer to a beat comes late, the term is closed right behind it, and PostgreSQL is not reached again. */
export function slowAnswer(fleet: Fleet): void {
  const { world, postgres } = fleet
  settled(fleet, (leader, _, late) => {
    postgres.slow = { life: late.controller.life, ms: 1300 }
    beaten(fleet, late, () => {
      leader.controller.ask('postgres', 'operator')
      world.in(1320, () => {
        postgres.slow = undefined
        late.table.link.cut = true
      })
      world.in(8000, () => late.table.link.heal())
    })
  })
}

/** A process stands still while the answer to an operation is on its way, and wakes up in a later term. */
export function answerOfBefore(fleet: Fleet): void {
  const { checker } = fleet
  settled(fleet, (leader, _, still) => {
    checker.watch = (who, kind) => {
      if (who !== still.name || kind !== 'limit') return
      checker.watch = () => undefined
      still.host.pause(3600)
      leader.controller.ask('postgres', 'operator')
    }
  })
}

/** Who closes has just been granted a lock; the answer comes when it could have said long ago that it has stopped. */
export function answerAfterStop(fleet: Fleet): void {
  const { world, checker } = fleet
  settled(fleet, (_, __, leader) => {
    const { link } = leader.markers
    checker.watch = (who, kind) => {
      if (who !== leader.name || kind !== 'grant') return
      checker.watch = () => undefined
      link.kept.add('answer to acquire')
      leader.controller.ask('postgres', 'operator')
      world.in(350, () => link.letGo())
    }
  })
}

/** A statement is stuck while the term goes to Redis and comes back. */
export function lateStatement(fleet: Fleet): void {
  const { world } = fleet
  settled(fleet, (leader, _, late) => {
    const { link } = late.table
    turn(fleet, leader, 'postgres', () => {
      link.kept.add('limit')
      once(
        fleet,
        () => link.keeps,
        () =>
          turn(fleet, leader, 'redis', () =>
            turn(fleet, leader, 'postgres', () => world.in(1000, () => link.letGo())),
          ),
      )
    })
  })
}

/** An instance is told to end, and the others turn as soon as it has said that nothing of it is left. */
export function leavesAtWork(fleet: Fleet): void {
  const { world, postgres } = fleet
  settled(fleet, (leader, _, leaving) => {
    void fleet.leave(2)
    once(
      fleet,
      () => !postgres.instances.has(leaving.controller.life),
      () => leader.controller.ask('postgres', 'operator'),
    )
  })
  world.at(14_000, () => fleet.begin(2))
}
