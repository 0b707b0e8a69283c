import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

export interface Posted {
  readonly type: string
  readonly payload: unknown
}

export async function body(asked: IncomingMessage): Promise<readonly Posted[]> {
  return JSON.parse(await text(asked))
}

/** The same event as Spillway sends. */
export function eventOf(id: number, type: string, payload: unknown): object {
  return { id: `1-${id}`, flow: 'fan', type, payload, source: 'bench', timestamp: new Date().toISOString() }
}

export function frameOf(id: number, type: string, payload: unknown): string {
  return `id: 1-${id}\nevent: ${type}\ndata: ${JSON.stringify(eventOf(id, type, payload))}\n\n`
}
