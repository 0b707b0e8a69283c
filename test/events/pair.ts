import { readConfig } from '../../src/config.js'
import { SpillwayError } from '../../src/errors.js'
import { Backbone } from '../../src/events/backbone.js'
import { Flow, type FlowParts } from '../../src/events/flow.js'
import { Groups } from '../../src/events/groups.js'
import type { Draft, Durability, Outcome } from '../../src/events/log.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { PostgresStates } from '../../src/state/postgres.js'
import { flowTag } from '../../src/tenant.js'
import { freshDatabase } from '../support/database.js'
import { type Instance, QUICK, reigns, startInstance } from '../term/fleet.js'
import type { LogStore } from './log-store.js'
import { Turner } from './turner.js'

/** Turns in some hundred ms however often, and trust as long as in production: the machine has other work. */
const OFTEN = { ...QUICK, trustMs: 2000, healthyMs: 100, longestHealthyMs: 100 }

/** One instance in full mode: its part in the term, and its events. */
export interface Half {
  readonly instance: Instance
  readonly database: ServerDatabase
  readonly backbone: Backbone
  /** A flow of the tenant `acme`, as users hold it. */
  flow(name: string, durability?: Durability): Flow
  close(): Promise<void>
}

/** `commandTimeoutMs` is how long Redis may be silent, `probeMs` how often it is looked at. */
export async function openHalf(
  name: string,
  urls: { readonly postgres: string; readonly redis: string },
  {
    commandTimeoutMs = 400,
    probeMs = OFTEN.probeMs,
    ca,
  }: { commandTimeoutMs?: number; probeMs?: number; ca?: string } = {},
): Promise<Half> {
  const config = readConfig({})
  const instance = await startInstance(name, urls.postgres, urls.redis, {
    timing: { ...OFTEN, probeMs },
    redis: { commandTimeoutMs, connectTimeoutMs: 1000, ca },
  })
  const database = new ServerDatabase({ url: urls.postgres, listenUrl: null, poolSize: 4 })
  const backbone = new Backbone({
    config,
    database,
    term: instance.controller,
    redis: instance.redis.client,
    onStored: () => undefined,
    onActive: () => undefined,
  })
  await backbone.start()
  const close = async () => {
    await backbone.intake.settled()
    await backbone.close()
    await instance.close()
    await database.close()
  }
  const parts: FlowParts = {
    log: backbone.log,
    appender: backbone.intake,
    live: backbone.live,
    states: new PostgresStates(database),
    groups: new Groups(database),
    limits: config,
  }
  const flow = (name: string, durability?: Durability) =>
    new Flow({ tenant: 'acme', flow: name }, durability ?? null, parts)
  return { instance, database, backbone, flow, close }
}

/** Two instances over a PostgreSQL and a Redis; drafts go in by the one and are read by the other. */
export async function openPair(
  redisUrl: string,
  durability: Durability,
  { turned }: { turned: boolean },
): Promise<LogStore> {
  const fresh = await freshDatabase()
  const urls = { postgres: fresh.url, redis: redisUrl }
  // Pages of megabytes beside other tests.
  const patient = { commandTimeoutMs: 5000 }
  const writer = await openHalf('writer', urls, patient)
  const reader = await openHalf('reader', urls, patient)
  const fleet = [writer.instance, reader.instance]
  await reigns(fleet, 'redis')
  const turner = turned ? await Turner.start(fleet) : undefined
  return {
    log: reader.backbone.log,
    durability,
    leaps: turned && durability === 'fast',
    append: (drafts) => appendAs(durability, drafts, writer.backbone),
    happening: async () => turner?.next(),
    quietly: (body) => (turner ? turner.quietly(body) : body()),
    close: async () => {
      await turner?.stop()
      await Promise.all([writer.close(), reader.close()])
      await fresh.drop()
    },
  }
}

/**
 * Appends as users of flows do: each flow by itself, and all events of a call of the durability that its handle names.
 * A refusal that is thrown refuses all of them.
 */
async function appendAs(
  durability: Durability,
  drafts: readonly Draft[],
  { intake }: Backbone,
): Promise<readonly Outcome[]> {
  const calls = new Map<string, number[]>()
  drafts.forEach((draft, place) => {
    const name = `${flowTag(draft)} ${draft.durability ?? durability}`
    calls.set(name, [...(calls.get(name) ?? []), place])
  })
  const outcomes: Outcome[] = new Array(drafts.length)
  await Promise.all(
    [...calls.values()].map(async (places) => {
      const own = places.map((place) => {
        const draft = drafts[place] as Draft
        return { ...draft, durability: draft.durability ?? durability }
      })
      const answers = await intake.append(own).catch((error: unknown) => {
        if (!(error instanceof SpillwayError && error.code === 'DURABILITY_FIXED')) throw error
        return own.map(() => ({ error }))
      })
      for (const [i, place] of places.entries()) outcomes[place] = answers[i] as Outcome
    }),
  )
  return outcomes
}
