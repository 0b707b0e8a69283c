import pg from 'pg'
import type { Ear } from './client.js'

export interface ListenOptions {
  readonly url: string
  readonly channel: string
  readonly connectTimeoutMs: number
  /** How often the connection must hear its own probe, in ms. */
  readonly probeMs?: number
}

/**
 * Hears a channel on a connection of its own and dials anew when it breaks. A connection can go deaf without an
 * error (a pooler in transaction mode accepts LISTEN and delivers nothing; a half-open socket): so it sends
 * itself a probe and counts as hearing only while the probes come back.
 */
export async function listenOn(options: ListenOptions, ear: Ear): Promise<() => Promise<void>> {
  const { url, channel, connectTimeoutMs, probeMs = 5000 } = options
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
      await own.query('SELECT pg_notify($1, $2)', [channel, probe])
      if (client === own && !closed) timer = setTimeout(() => check().catch(() => again(own)), probeMs)
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
