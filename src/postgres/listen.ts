import pg from 'pg'
import type { Ear } from './client.js'

export interface ListenOptions {
  readonly url: string
  readonly channel: string
  readonly connectTimeoutMs: number
  /** Sends a notice on the channel, over any other connection. */
  readonly notify: (payload: string) => Promise<unknown>
  /** How often the connection must hear its own probe, in ms. */
  readonly probeMs?: number
}

/** How long the first probe of a connection may take. */
const UNHEARD_MS = 1000

/**
 * Hears a channel on a connection of its own and dials anew when it breaks. A connection can go deaf without an
 * error (a pooler in transaction mode accepts LISTEN and delivers nothing; a half-open socket): so it has a
 * probe sent to itself and counts as hearing only while the probes come back. Over another connection: what a
 * connection notifies itself of comes back with that statement, through a pooler too.
 */
export async function listenOn(options: ListenOptions, ear: Ear): Promise<() => Promise<void>> {
  const { url, channel, connectTimeoutMs, notify, probeMs = 5000 } = options
  let client: pg.Client | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false
  let hearing: boolean | undefined
  let attempt = 0

  const report = (works: boolean) => {
    if (hearing === works) return
    hearing = works
    ear.hearing(works)
  }

  const again = (broken: pg.Client) => {
    if (closed || client !== broken) return
    client = undefined
    clearTimeout(timer)
    broken.end().catch(() => undefined)
    report(false)
    timer = setTimeout(dial, Math.min(5000, 100 * 2 ** attempt++))
  }

  async function dial(): Promise<void> {
    const own = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: probeMs,
      keepAlive: true,
    })
    client = own
    const probe = `probe:${Math.random().toString(36).slice(2)}`
    let answered = true
    const check = async () => {
      if (!answered) return again(own)
      answered = false
      await notify(probe)
      const pause = hearing ? probeMs : Math.min(probeMs, UNHEARD_MS)
      if (client === own && !closed) timer = setTimeout(() => check().catch(() => again(own)), pause)
    }
    own.on('error', () => again(own))
    own.on('end', () => again(own))
    own.on('notification', ({ payload = '' }) => {
      if (payload === probe) {
        answered = true
        attempt = 0
        report(true)
      } else if (!payload.startsWith('probe:')) ear.heard(payload)
    })
    try {
      await own.connect()
      await own.query(`LISTEN ${pg.escapeIdentifier(channel)}`)
      await check()
    } catch {
      again(own)
    }
  }

  await dial()
  return async () => {
    closed = true
    clearTimeout(timer)
    await client?.end().catch(() => undefined)
  }
}
