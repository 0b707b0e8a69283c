export { SpillwayClient } from './client.js'
export type {
  EventMap,
  EventOf,
  FlowEvent,
  FlowMeta,
  FlowState,
  FlowStatus,
  FlowSummary,
  Gap,
  GapReason,
  Message,
  PublishedEvent,
  StreamStatus,
} from './messages.js'
export type {
  ClientOptions,
  Draft,
  FlowsOptions,
  HistoryOptions,
  HistoryPage,
  PublishOptions,
  SubscribeOptions,
  Watch,
} from './options.js'
export { ClientError } from './problem.js'
export { type SseItem, SseOverflow, SseParser } from './sse.js'
