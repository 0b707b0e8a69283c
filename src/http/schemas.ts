import { Kind, type TSchema, Type, TypeRegistry } from '@sinclair/typebox'
import { SCOPES } from '../access/principal.js'
import { CODES } from '../errors.js'
import { DURABILITIES } from '../events/log.js'
import { STATUSES } from '../state/states.js'
import { NAME_LIMITS, type NameKind } from '../tenant.js'

/** A name as the document describes it; its bytes and characters are checked where names are made. */
export const name = (kind: NameKind, description: string) =>
  Type.String({ minLength: 1, maxLength: NAME_LIMITS[kind], description, 'x-code': 'INVALID_NAME' })

// JSON Schema's own `enum` is a text of known values in the document; TypeBox itself would make a union of constants.
TypeRegistry.Set<{ enum: readonly string[] }>('Choice', (schema, value) =>
  schema.enum.some((known) => known === value),
)

export const choice = <const T extends readonly string[]>(choices: T, description: string) =>
  Type.Unsafe<T[number]>({ [Kind]: 'Choice', type: 'string', enum: [...choices], description })

const time = (description: string) => Type.String({ format: 'date-time', description })
const orNull = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()])

export const CursorText = Type.String({
  maxLength: 64,
  description: 'A cursor: an event’s id, `term-seq`; `0` is the beginning.',
  'x-code': 'INVALID_CURSOR',
})

export const FlowParams = Type.Object({ flow: name('flow', 'Name of the flow.') })
export const DurabilityText = choice(DURABILITIES, 'Fixed by the flow’s first publish.')

export const NewEventBody = Type.Object(
  {
    type: name('type', '`gap` and names that begin with `spillway.` are reserved.'),
    payload: Type.Unknown({
      description: 'Any JSON. Stored and served as it is written, without the whitespace between tokens.',
    }),
    source: Type.Optional(name('source', 'Who says it; default `system`.')),
    key: Type.Optional(
      name('key', 'Makes a repeat harmless: the same key in the same flow answers the first event.'),
    ),
  },
  { $id: 'NewEvent', additionalProperties: false },
)

const eventFields = {
  id: Type.String({ description: '`term-seq`: identity, order and cursor in one.' }),
  flow: Type.String(),
  type: Type.String({
    description: '`gap`: the events from `from` to `to` in its payload can no longer be had.',
  }),
  payload: Type.Unknown(),
  source: Type.String(),
  timestamp: time('When the store took it, in UTC.'),
}
const EventAnswer = Type.Object(eventFields, { $id: 'Event' })
export const PublishedAnswer = Type.Object(
  { ...eventFields, durability: DurabilityText },
  { $id: 'PublishedEvent' },
)

export const HistoryAnswer = Type.Object(
  {
    events: Type.Array(EventAnswer),
    next: orNull(
      Type.String({ description: 'Give it as `after` (asc) or `before` (desc) for the next page.' }),
    ),
  },
  { $id: 'History' },
)

export const StatusText = choice(STATUSES, 'How the flow is doing.')

export const StateBody = Type.Object(
  {
    status: Type.Optional(StatusText),
    current_phase: Type.Optional(orNull(Type.String({ maxLength: 256 }))),
    progress_percentage: Type.Optional(orNull(Type.Number({ minimum: 0, maximum: 100 }))),
    engagement: Type.Optional(orNull(name('engagement', 'The group of flows that this one belongs to.'))),
  },
  {
    $id: 'FlowState',
    additionalProperties: true,
    description: 'Anything JSON beside the names understood here.',
  },
)

const metaFields = {
  status: StatusText,
  phase: orNull(Type.String()),
  progress: orNull(Type.Number()),
  updated_at: time('Last change, in UTC.'),
}
export const MetaAnswer = Type.Object(metaFields, { $id: 'FlowMeta' })
export const SummaryAnswer = Type.Object(
  {
    flow: Type.String(),
    ...metaFields,
    engagement: orNull(Type.String()),
    durability: orNull(DurabilityText),
    last_event_id: orNull(Type.String()),
    created_at: time('First event or state, in UTC.'),
    active_at: time('Newest event or last change of the state, in UTC; a few seconds behind for events.'),
  },
  { $id: 'FlowSummary' },
)

export const ScopeText = choice(SCOPES, 'A right.')
const keyFields = {
  id: Type.String(),
  tenant: Type.String(),
  name: Type.String(),
  scopes: Type.Array(ScopeText),
  created_at: time('In UTC.'),
  revoked_at: orNull(time('In UTC.')),
}
export const KeyAnswer = Type.Object(keyFields, { $id: 'ApiKey' })
export const NewKeyAnswer = Type.Object(
  { ...keyFields, key: Type.String({ description: 'The bearer token; shown this once.' }) },
  { $id: 'NewApiKey' },
)

export const LeaseAnswer = Type.Object(
  {
    name: Type.String(),
    fence: Type.Integer({ description: 'Greater than that of every lease before on this lock.' }),
    ttlMs: Type.Integer(),
    expiresAt: time(
      'Until when it may be counted on, by the server’s clock; by another, from before the request.',
    ),
  },
  { $id: 'Lease' },
)
export const LockAnswer = Type.Object(
  {
    name: Type.String(),
    holder: Type.String(),
    fence: Type.Integer(),
    since: time('In UTC.'),
    leftMs: Type.Number({ description: 'After which another may have it, unless it is renewed.' }),
    waiting: Type.Integer({ description: 'How many wait for it.' }),
  },
  { $id: 'Lock' },
)

export const ProblemAnswer = Type.Object(
  {
    type: Type.String({ format: 'uri-reference' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ enum: Object.keys(CODES), description: 'Stable; programs match on it.' }),
    instance: Type.Optional(Type.String()),
  },
  { $id: 'Problem', description: 'RFC 9457' },
)
