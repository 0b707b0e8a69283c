import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { readConfig } from '../config.js'
import { SpillwayError } from '../errors.js'
import type { FlowEvent } from '../events/event.js'
import { Spillway, type Tenant } from '../spillway.js'
import type { FlowQuery, FlowState, FlowStatus, FlowSummary } from '../state/states.js'
import { type Remote, remoteOf } from './remote.js'

export interface HistoryQuery {
  readonly after?: string | undefined
  readonly last?: number | undefined
  readonly limit?: number | undefined
}

export interface ListQuery {
  readonly engagement?: string | undefined
  readonly status?: FlowStatus | undefined
  readonly limit?: number | undefined
}

/** The flows of one tenant, wherever they are. */
export interface Flows {
  history(flow: string, query: HistoryQuery): Promise<FlowEvent[]>
  /** Without end; gaps are events of type `gap`. */
  tail(flow: string, after: string | undefined, signal: AbortSignal): AsyncIterable<FlowEvent>
  state(flow: string): Promise<FlowState | null>
  list(query: ListQuery): Promise<FlowSummary[]>
}

/**
 * Works on the tenant's flows: in the store itself, or through the server that holds an embedded one, which
 * lets no second process in.
 */
export async function withFlows(tenant: string, work: (flows: Flows) => Promise<void>): Promise<void> {
  const config = readConfig(process.env)
  let spillway: Spillway
  try {
    spillway = await Spillway.open({ config })
  } catch (error) {
    const remote = isInUse(error) ? remoteOf(config.dataDir, tenant) : undefined
    if (!remote) throw error
    return work(new RemoteFlows(remote))
  }
  try {
    await work(new LocalFlows(spillway.tenant(tenant)))
  } finally {
    await spillway.close()
  }
}

export function isInUse(error: unknown): boolean {
  return error instanceof SpillwayError && error.code === 'DATA_DIR_IN_USE'
}

class LocalFlows implements Flows {
  readonly #tenant: Tenant

  constructor(tenant: Tenant) {
    this.#tenant = tenant
  }

  history(flow: string, query: HistoryQuery): Promise<FlowEvent[]> {
    return this.#tenant.flow(flow).history(query)
  }

  tail(flow: string, after: string | undefined, signal: AbortSignal): AsyncIterable<FlowEvent> {
    return this.#tenant.flow(flow).subscribe({ after, signal })
  }

  state(flow: string): Promise<FlowState | null> {
    return this.#tenant.flow(flow).state()
  }

  list(query: FlowQuery): Promise<FlowSummary[]> {
    return this.#tenant.flows(query)
  }
}

class RemoteFlows implements Flows {
  readonly #remote: Remote

  constructor(remote: Remote) {
    this.#remote = remote
  }

  async history(flow: string, { after, last, limit }: HistoryQuery): Promise<FlowEvent[]> {
    const query = last === undefined ? { after, limit } : { limit: last, order: 'desc' }
    const { events } = await this.#remote.json<{ events: FlowEvent[] }>(
      'GET',
      `${path(flow, 'events')}${queryOf(query)}`,
    )
    return last === undefined ? events : events.reverse()
  }

  async *tail(flow: string, after: string | undefined, signal: AbortSignal): AsyncGenerator<FlowEvent> {
    // A stream ends now and then so that its reader comes back: with the last id, nothing is lost by it.
    for (let cursor = after; !signal.aborted; ) {
      const response = await this.#remote.send(
        'GET',
        `${path(flow, 'stream')}${queryOf({ after: cursor })}`,
        { signal },
      )
      for await (const frame of frames(response)) {
        cursor = frame.id ?? cursor
        if (frame.data !== undefined) yield toEvent(flow, frame)
      }
    }
  }

  async state(flow: string): Promise<FlowState | null> {
    try {
      return await this.#remote.json<FlowState>('GET', path(flow, 'state'))
    } catch (error) {
      if (error instanceof SpillwayError && error.code === 'NOT_FOUND') return null
      throw error
    }
  }

  list(query: ListQuery): Promise<FlowSummary[]> {
    return this.#remote.json('GET', `/v1/flows${queryOf({ ...query })}`)
  }
}

interface Frame {
  readonly id: string | undefined
  readonly event: string | undefined
  readonly data: string | undefined
}

/** Frames of our own server's stream: one `data` line an event, LF only. */
async function* frames(response: Response): AsyncGenerator<Frame> {
  if (!response.body) return
  let fields = new Map<string, string>()
  for await (const line of createInterface({
    input: Readable.fromWeb(response.body),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
    if (line !== '' || fields.size === 0) continue
    yield { id: fields.get('id'), event: fields.get('event'), data: fields.get('data') }
    fields = new Map()
  }
}

/** A gap stands on the wire as what it is, without an event around it. */
function toEvent(flow: string, { id = '', event, data = '' }: Frame): FlowEvent {
  if (event !== 'gap') return JSON.parse(data)
  return {
    id,
    flow,
    type: 'gap',
    payload: JSON.parse(data),
    source: 'spillway',
    timestamp: new Date().toISOString(),
  }
}

function path(flow: string, what: string): string {
  return `/v1/flows/${encodeURIComponent(flow)}/${what}`
}

function queryOf(query: Readonly<Record<string, string | number | undefined>>): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value))
  return given.size === 0 ? '' : `?${given}`
}
