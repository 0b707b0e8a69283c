import { type FlowRef, flowTag } from '../tenant.js'

/** Ids kept at most. */
const KEPT = 100_000

/**
 * The rows' ids of flows as the log answered them. Only a hint: the log checks each by the flow's name and answers
 * those that are right.
 */
export class FlowIds {
  readonly #ids = new Map<string, number>()

  known(flows: readonly FlowRef[]): (number | null)[] {
    return flows.map((ref) => this.#ids.get(flowTag(ref)) ?? null)
  }

  /** In the order of the flows. */
  learn(flows: readonly FlowRef[], ids: readonly (number | string)[]): void {
    if (this.#ids.size + flows.length > KEPT) this.#ids.clear()
    flows.forEach((ref, i) => {
      this.#ids.set(flowTag(ref), Number(ids[i]))
    })
  }
}
