import type { FlowEvent, Gap } from '../../client/index.js'
import { DISCOVERY_PHASES, Discovery } from './discovery.js'
import { EventLog } from './event-log.js'
import { Phases } from './phases.js'

/** Everything the page knows of one flow, folded from its events. */
export class FlowModel {
  readonly phases = new Phases()
  readonly log = new EventLog()
  readonly discovery = new Discovery()

  event(event: FlowEvent): void {
    const was = this.discovery.seen
    this.discovery.apply(event)
    if (this.discovery.seen && !was) this.phases.expect(DISCOVERY_PHASES)
    this.phases.apply(event)
    this.log.event(event)
  }

  gap(gap: Gap): void {
    this.log.gap(gap)
  }
}
