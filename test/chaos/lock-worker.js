// One of the processes that compete for locks: it holds them, writes under their fences to a guarded table, and writes
// down in a file what it counts on, by the clock that all processes of this machine share. Runs from the built library.
import { mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

const {
  DATABASE_URL,
  REDIS_URL,
  SPILLWAY_INSTANCE_ID = '',
  LOCK_LOGS = '.',
  LOCK_LONGEST_MS = '5000',
} = process.env
const LONGEST_MS = Number(LOCK_LONGEST_MS)
const LOCKS = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? `flow:${i}` : `lock-${i}`))
const COMPETING = 6

// A quarantine is as long as the longest lease: with a minute of it nothing would be granted in a run of faults.
const { TIMING } = await import('../../dist/src/term/timing.js')
Object.assign(TIMING, { longestLeaseMs: LONGEST_MS })
const { Spillway } = await import('../../dist/src/index.js')
const { createServer } = await import('../../dist/src/http/server.js')

mkdirSync(LOCK_LOGS, { recursive: true })
const log = openSync(join(LOCK_LOGS, `${SPILLWAY_INSTANCE_ID}-${process.pid}.log`), 'a')
const offset = process.hrtime.bigint() - nanoseconds(performance.now())
const write = (line) => writeSync(log, `${JSON.stringify(line)}\n`)

function nanoseconds(ms) {
  return BigInt(Math.round(ms * 1e6))
}

/** Says that this process counts on a lease now, and until when; false if it does not. */
function counts(what, name, lease) {
  const at = process.hrtime.bigint()
  const until = nanoseconds(lease.deadline) + offset
  if (at >= until || !lease.held) return false
  write({ what, lock: name, fence: lease.fence, at: String(at), until: String(until) })
  return true
}

/** Says that it counts on it no more, before it is given back. */
function ends(name, lease) {
  write({ what: 'end', lock: name, fence: lease.fence, at: String(process.hrtime.bigint()) })
}

const pool = new pg.Pool({
  connectionString: DATABASE_URL,
  max: 3,
  connectionTimeoutMillis: 1000,
  query_timeout: 1500,
})
pool.on('error', () => undefined)
pool.on('connect', (client) => client.on('error', () => undefined))

/** What the lock protects: a table that asks for the fence. */
async function guardedWrite(name, fence) {
  try {
    const { rows } = await pool.query(
      `INSERT INTO guarded (lock, fence) SELECT $1, $2 WHERE spillway.fence_ok('acme', $1, $2) RETURNING id`,
      [name, fence],
    )
    if (rows.length === 0) write({ what: 'refused', lock: name, fence })
  } catch {
    // PostgreSQL is one of those that are broken: whether the row is there, the table says.
  }
}

const pick = (list) => list[Math.floor(Math.random() * list.length)]
/** Leases that were held once, whose holder does not know that they are over. */
const old = []

async function within(name, lease, renews) {
  if (!counts('got', name, lease)) return
  for (let steps = 1 + Math.random() * 4; steps > 0; steps--) {
    await guardedWrite(name, lease.fence)
    await pause(Math.random() * 300)
    if (!renews && Math.random() < 0.3) await lease.renew().catch(() => false)
    if (!counts('held', name, lease)) break
  }
  ends(name, lease)
  old.push({ name, fence: lease.fence })
  if (old.length > 20) old.shift()
  const late = Math.random() < 0.2 ? pick(old) : undefined
  if (late) await guardedWrite(late.name, late.fence)
}

async function compete(locks) {
  for (;;) {
    const name = pick(LOCKS)
    const options = {
      // Many as long as can be: a turn that does not heed them comes before their end.
      ttlMs: Math.random() < 0.3 ? LONGEST_MS : Math.ceil(100 + Math.random() * (LONGEST_MS - 100)),
      waitMs: pick([0, 500, 4000]),
    }
    const renews = Math.random() < 0.5
    try {
      if (renews) await locks.tryUsing(name, options, (lease) => within(name, lease, true))
      else {
        const got = await locks.acquire(name, options)
        if ('lease' in got) {
          await within(name, got.lease, false)
          // Some are left to end by themselves.
          if (Math.random() < 0.8) await got.lease.release().catch(() => false)
        }
      }
    } catch (error) {
      if (!(error.temporary || error.code === 'LOCK_LOST'))
        write({ what: 'error', error: String(error.stack) })
    }
    await pause(Math.random() * 50)
  }
}

const spillway = await Spillway.open({
  postgres: DATABASE_URL,
  redis: REDIS_URL,
  config: { poolSize: 4, port: 0, instanceId: SPILLWAY_INSTANCE_ID, logLevel: 'error' },
})
const server = await createServer(spillway)
await server.listen()
process.stdout.write(`${server.url}\n`)
for (let i = 0; i < COMPETING; i++) void compete(spillway.tenant('acme').locks)
