import { chownSync, cpSync, existsSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../eventually.js'
import { serverUser } from '../processes.js'
import type { RedisServer } from '../redis.js'
import type { Link } from './link.js'
import type { Nemesis } from './nemesis.js'

/** What a killed Redis has when it starts again. */
export type DataAfterwards =
  | 'same'
  | 'empty'
  /** The end of the append-only file is missing, as after a power cut. */
  | 'truncated'
  /** What it had when the fault began; it served on and was killed only `meanwhile` later. */
  | 'older'

const APPEND_ONLY = 'appendonlydir'

/** SIGKILL, and a start with these data. `meanwhile`: how long an older copy ages before the kill. */
export function redisKilled(
  redis: RedisServer,
  data: DataAfterwards,
  meanwhile: () => Promise<void> = async () => undefined,
): Nemesis {
  return {
    name: `Redis killed, ${data} data`,
    begin: async () => {
      const copy = join(redis.folder, 'copy')
      if (data === 'older') {
        copyFolder(join(redis.folder, APPEND_ONLY), copy)
        await meanwhile()
      }
      await redis.kill()
      if (data === 'truncated') truncateAppendOnly(redis)
      if (data === 'older') copyFolder(copy, join(redis.folder, APPEND_ONLY))
    },
    end: () => redis.start(data === 'empty' ? 'empty' : 'same'),
  }
}

/** SIGSTOP: connections stay and are accepted, nothing answers; after SIGCONT everything is answered late. */
export function redisFrozen(redis: RedisServer): Nemesis {
  return {
    name: 'Redis stopped (SIGSTOP)',
    begin: async () => redis.freeze(),
    end: async () => {
      redis.thaw()
      await answers(redis)
    },
  }
}

/**
 * `CLIENT PAUSE` of all commands, or of writes alone, for `ms`. A pause of all holds `CLIENT UNPAUSE` up too, so
 * `end` waits for its time to pass.
 */
export function clientsPaused(redis: RedisServer, what: 'ALL' | 'WRITE', ms: number): Nemesis {
  return {
    name: `CLIENT PAUSE ${what} for ${ms} ms`,
    begin: async () => void (await redis.ask('CLIENT', 'PAUSE', String(ms), what)),
    end: async () => void (await redis.ask('CLIENT', 'UNPAUSE')),
  }
}

/**
 * `DEBUG SLEEP`: the server itself is busy, as with a slow command, and cannot be woken: `end` waits for it.
 * Needs `enable-debug-command`.
 */
export function redisBusy(redis: RedisServer, seconds: number): Nemesis {
  let sleep: Promise<unknown> = Promise.resolve()
  return {
    name: `DEBUG SLEEP ${seconds}`,
    begin: async () => {
      // Asked first, because the sleeper cannot say that it is not allowed to sleep.
      await redis.ask('DEBUG', 'SLEEP', '0')
      sleep = redis.ask('DEBUG', 'SLEEP', String(seconds))
    },
    end: async () => void (await sleep),
  }
}

/** `FLUSHALL`: the server stays, with the same identity and no data. */
export function redisFlushed(redis: RedisServer): Nemesis {
  return {
    name: 'FLUSHALL',
    begin: async () => void (await redis.ask('FLUSHALL', 'SYNC')),
    end: async () => undefined,
  }
}

/** A master and its replica, of which the links of the instances know the one that serves. */
export interface RedisPair {
  master: RedisServer
  replica: RedisServer
  /** The replica's way to its master. */
  readonly replication: Link
  /** The ways of the instances to Redis. */
  links(): readonly Link[]
}

/** Makes `replica` follow `master` through the pair's own link, and waits until it does. */
export async function follow({ master, replica, replication }: RedisPair): Promise<void> {
  replication.retarget(master.url)
  await replica.ask('REPLICAOF', '127.0.0.1', new URL(replication.url).port)
  await eventually(
    async () => /master_link_status:up/.test(String(await replica.ask('INFO', 'replication'))),
    { withinMs: 20_000, what: 'the replica' },
  )
}

/**
 * The replica stops following, the master serves on `meanwhile`, is killed, and the replica is promoted without
 * what came last: the accident in which numbers that were given are given again. `end` makes the old master the
 * new one's replica.
 */
export function laggingPromotion(pair: RedisPair, meanwhile: () => Promise<void>): Nemesis {
  return {
    name: 'promotion of a lagging replica',
    begin: async () => {
      pair.replication.blackHole()
      await meanwhile()
      await pair.master.kill()
      // Dropped, not delivered late: the promoted server must never see it.
      pair.replication.reset()
      await pair.replica.ask('REPLICAOF', 'NO', 'ONE')
      for (const link of pair.links()) link.retarget(pair.replica.url)
    },
    end: async () => {
      const old = pair.master
      pair.master = pair.replica
      pair.replica = old
      await pair.replication.heal()
      await old.start()
      await follow(pair)
    },
  }
}

async function answers(redis: RedisServer): Promise<void> {
  await eventually(async () => (await redis.ask('PING')) === 'PONG', { what: 'an answer of Redis' })
}

/** Takes the last third off the newest append-only file, at least one byte. */
function truncateAppendOnly({ folder }: RedisServer): void {
  const files = readdirSync(join(folder, APPEND_ONLY))
    .filter((name) => name.endsWith('.incr.aof'))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  const newest = files.at(-1)
  if (newest === undefined) throw new Error('Redis has no append-only file to truncate')
  const path = join(folder, APPEND_ONLY, newest)
  truncateSync(path, Math.floor((statSync(path).size * 2) / 3))
}

/** What a Redis has in its append-only files, for another one that is not running. */
export function copyAppendOnly(from: RedisServer, to: RedisServer): void {
  copyFolder(join(from.folder, APPEND_ONLY), join(to.folder, APPEND_ONLY))
}

function copyFolder(from: string, to: string): void {
  if (!existsSync(from)) throw new Error(`Redis has no ${from}: it needs its append-only file`)
  rmSync(to, { recursive: true, force: true })
  cpSync(from, to, { recursive: true })
  const user = serverUser()
  if (!user) return
  for (const path of [to, ...readdirSync(to).map((name) => join(to, name))])
    chownSync(path, user.uid, user.gid)
}
