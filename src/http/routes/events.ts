import { Type } from '@sinclair/typebox'
import { formatId } from '../../events/cursor.js'
import { itemEvent } from '../../events/delivery.js'
import { eventJson } from '../../events/event.js'
import type { Stored } from '../../events/flow.js'
import type { HistoryPage } from '../../events/history.js'
import { JsonText, type NewEvent } from '../../events/publishing.js'
import type { Spillway } from '../../spillway.js'
import { type Endpoint, endpoint } from '../endpoint.js'
import { memberTexts } from '../json.js'
import {
  CursorText,
  choice,
  DurabilityText,
  FlowParams,
  HistoryAnswer,
  NewEventBody,
  PublishedAnswer,
} from '../schemas.js'

const JSON_TYPE = 'application/json; charset=utf-8'

/** Events go in and out as text: what was published is what is served, byte for byte. */
export function eventEndpoints(spillway: Spillway): Endpoint[] {
  return [
    endpoint({
      method: 'POST',
      path: '/v1/flows/{flow}/events',
      id: 'publish',
      says: 'Publishes an event, or several next to each other, all or none.',
      scope: 'publish',
      params: FlowParams,
      query: Type.Object({ durability: Type.Optional(DurabilityText) }),
      body: Type.Union([
        NewEventBody,
        Type.Array(NewEventBody, { description: 'At most 1000, in this order.' }),
      ]),
      answers: {
        201: {
          says: 'Stored. An array for an array.',
          schema: Type.Union([PublishedAnswer, Type.Array(PublishedAnswer)]),
        },
      },
      run: async ({ principal, params, query, body, text, reply }) => {
        const flow = spillway.tenant(principal.tenant).flow(params.flow, query)
        const many = Array.isArray(body)
        const payloads = memberTexts(text, 'payload')
        const events: NewEvent[] = (many ? body : [body]).map((event, i) => ({
          ...event,
          payload: new JsonText(payloads[i] ?? 'null'),
        }))
        const stored = (await flow.append(events)).map((one) => publishedJson(params.flow, one))
        reply.code(201).type(JSON_TYPE)
        return many ? `[${stored.join(',')}]` : stored[0]
      },
    }),
    endpoint({
      method: 'GET',
      path: '/v1/flows/{flow}/events',
      id: 'history',
      says: 'Reads past events, a page at a time. Events that are no more are named by one of type `gap`.',
      scope: 'subscribe',
      params: FlowParams,
      query: Type.Object({
        after: Type.Optional(CursorText),
        before: Type.Optional(CursorText),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
        order: Type.Optional(choice(['asc', 'desc'], 'Default `asc`, oldest first.')),
      }),
      answers: { 200: { says: 'A page.', schema: HistoryAnswer } },
      run: async ({ principal, params, query, reply }) => {
        const page = await spillway.tenant(principal.tenant).flow(params.flow).readPage(query)
        reply.type(JSON_TYPE)
        return pageJson(params.flow, page)
      },
    }),
  ]
}

function publishedJson(flow: string, { event, durability }: Stored): string {
  return `${eventJson(flow, event).slice(0, -1)},"durability":"${durability}"}`
}

function pageJson(flow: string, { events, gaps, more }: HistoryPage): string {
  const texts = [
    ...gaps.map((gap) => JSON.stringify(itemEvent(flow, gap))),
    ...events.map((event) => eventJson(flow, event)),
  ]
  const last = events.at(-1)
  const next = more && last ? `"${formatId(last.term, last.seq)}"` : 'null'
  return `{"events":[${texts.join(',')}],"next":${next}}`
}
