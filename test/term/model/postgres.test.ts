import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PostgresLog } from '../../../src/events/postgres.js'
import { migrate } from '../../../src/postgres/migrate.js'
import { ServerDatabase } from '../../../src/postgres/server.js'
import type { Beat, TermTable } from '../../../src/term/ports.js'
import { PostgresTerm } from '../../../src/term/postgres.js'
import { newBatch, numbered, someFlow } from '../../events/drafts.js'
import { freshDatabase } from '../../support/database.js'
import type { FreshDatabase } from '../../support/postgres.js'
import { reignOf } from '../reign.js'
import type { Guard } from '../sim/guards.js'
import { difference, type Side } from './compare.js'
import { fenced } from './fenced.js'
import { CalmWorld } from './worlds.js'

const LIVES = [1, 2, 3].map((i) => `00000000-0000-4000-8000-00000000000${i}`)
const OBSERVER = '00000000-0000-4000-8000-000000000009'
/** Longer than any run takes. */
const WINDOW_MS = 600_000

/** `number` is how far it is from the row's; `from` whether the leader is the one that it was taken for. */
const REQUEST = fc.record({
  do: fc.constantFrom('beat', 'close', 'take over', 'turn back', 'stop', 'open', 'leave', 'operation'),
  number: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(-1, 1) },
  ),
  life: fc.constantFrom(...LIVES),
  store: fc.constantFrom('redis', 'postgres'),
  reason: fc.constantFrom('majority', 'identity', 'return', 'operator', 'drill'),
  from: fc.boolean(),
  view: fc.constantFrom('ok', 'unsure', 'down', 'none'),
  matches: fc.boolean(),
  identity: fc.constantFrom('one', null),
  quarantineMs: fc.constantFrom(0, 60_000),
  healthyMs: fc.constantFrom(1000, 2000),
  early: fc.boolean(),
})
type Request = typeof REQUEST extends fc.Arbitrary<infer T> ? T : never

interface Parts {
  readonly table: TermTable
  /** Whether an operation of this term on PostgreSQL is carried out. */
  operation(number: number): Promise<boolean>
  reset(): Promise<void>
  wait<T>(answer: Promise<T>): Promise<T>
}

/** Puts a request to a table, whichever it is. */
function side(parts: () => Parts): Side<Request> {
  let row: Beat['row'] | undefined
  let before: Beat['row'] | undefined
  const put = (
    request: Request,
    row: Beat['row'] | undefined,
    { table, operation }: Parts,
  ): Promise<unknown> => {
    const number = (row?.number ?? 1) + request.number
    const { life, store, reason, view, identity, matches } = request
    switch (request.do) {
      case 'beat':
        return table.beat({ life, name: life, view, identity, matches }, WINDOW_MS).then(seenIn)
      case 'close':
        return table.close(number, store, life, reason)
      case 'take over':
        return table.takeOver(number, request.from ? (row?.switcher ?? null) : life, life)
      case 'turn back':
        return table.turnBack(number, life)
      case 'stop':
        return table.stop(number, life, [])
      case 'open':
        return table.open(number, life, { ...request, attempt: identity, carried: 0 })
      case 'leave':
        return table.leave(life, [])
      case 'operation':
        return operation(number)
    }
  }
  return {
    reset: async () => {
      row = undefined
      await parts().reset()
    },
    ask: (request) => {
      before = row
      return parts().wait(put(request, before, parts()))
    },
    again: (request) => parts().wait(put(request, before, parts())),
    look: async () => {
      const me = { life: OBSERVER, name: '', view: 'none', identity: null, matches: true } as const
      const beat = await parts().wait(parts().table.beat(me, WINDOW_MS))
      row = beat.row
      return seenIn(beat)
    },
  }
}

/** Everything but times, in one order. */
function seenIn({ row, fleet }: Beat) {
  const { number, store, phase, want, switcher, reason, identity, attempt, healthyMs, held } = row
  const members = fleet
    .map((one) => [one.life, one.name, one.view, one.identity, one.matches, one.stopped])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
  const quarantined = (row.quarantineMs ?? 0) > 0
  return {
    number,
    store,
    phase,
    want,
    switcher,
    reason,
    identity,
    attempt,
    healthyMs,
    held,
    quarantined,
    members,
  }
}

/** What the simulation plays for the statements. */
function model(off: ReadonlySet<Guard>): Side<Request> {
  const make = (): Parts => {
    const calm = new CalmWorld(off)
    return {
      table: calm.table,
      operation: (number) => fenced(calm, reignOf(number, { store: 'postgres' }), off),
      reset: async () => {
        parts = make()
      },
      wait: (answer) => calm.wait(answer),
    }
  }
  let parts = make()
  return side(() => parts)
}

describe('PostgreSQL, as the simulation plays it', () => {
  let fresh: FreshDatabase
  let database: ServerDatabase
  let real: Side<Request>
  beforeAll(async () => {
    fresh = await freshDatabase()
    database = new ServerDatabase({
      url: fresh.url,
      listenUrl: null,
      poolSize: 2,
      statementTimeoutMs: 10_000,
    })
    await migrate(database)
    const log = new PostgresLog(database)
    const parts: Parts = {
      table: new PostgresTerm(database),
      operation: (number) =>
        log
          .appendIn(
            number,
            [...numbered(someFlow(), 1)].map((one) => ({ ...one, durability: 'fast' })),
            newBatch(),
          )
          .then(
            () => true,
            ({ code }: { readonly code?: unknown }) => {
              if (code === 'TERM_UNKNOWN') return false
              throw new Error(`refused otherwise: ${String(code)}`)
            },
          ),
      reset: async () => {
        await database.query(
          `UPDATE spillway.term SET number = 1, store = 'postgres', phase = 'open', want = NULL,
          switcher = NULL, reason = NULL, redis_identity = NULL, attempt = NULL, quarantine_until = NULL,
          healthy_ms = 0, held = false`,
          [],
        )
        await database.query('DELETE FROM spillway.instances', [])
        await database.query('DELETE FROM spillway.turns', [])
      },
      wait: (answer) => answer,
    }
    real = side(() => parts)
  })
  afterAll(async () => {
    await database?.close()
    await fresh?.drop()
  })

  it('does what the statements do on a real one', async () => {
    expect(await difference(REQUEST, model(new Set()), real, { runs: 20, length: 16 })).toBeUndefined()
  })

  it.each([
    'take-over by compare-and-set',
    'opening by compare-and-set',
    'statements check the term',
  ] as const)('is told apart from it without this guard: %s', async (guard) => {
    expect(await difference(REQUEST, model(new Set([guard])), real, { runs: 500, length: 20 })).toBeDefined()
  })
})
