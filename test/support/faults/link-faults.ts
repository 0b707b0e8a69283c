import type { Link } from './link.js'
import type { Nemesis } from './nemesis.js'

/** The faults that a link has by itself. */
export const LINK_FAULTS = {
  'black hole': async (link) => link.blackHole(),
  'requests lost': async (link) => link.blackHole('request'),
  'replies lost': async (link) => link.blackHole('reply'),
  reset: async (link) => {
    link.resetNew()
    link.reset()
  },
  refused: async (link) => {
    await link.refuse()
    link.reset()
  },
  'delayed 300 ms': async (link) => link.delay(300),
  'cut in a reply': async (link) => {
    // Whenever the next reply comes; an idle link has none, and is not waited for.
    void link.cutReply(7)
  },
  throttled: async (link) => link.throttle(4096),
} as const satisfies Record<string, (link: Link) => Promise<void>>

export type LinkFault = keyof typeof LINK_FAULTS

/** One instance: its name, and its way to the store that the fault is about. */
export interface Linked {
  readonly name: string
  readonly link: Link
}

/**
 * A fault of one instance's way to one store: the others see the store well. `pick` chooses the instance when
 * the fault begins; undefined: there is none, and nothing is done.
 * `late`: whether what a black hole has swallowed arrives when it ends, or was dropped.
 */
export function linkFault(
  store: string,
  fault: LinkFault,
  pick: () => Linked | undefined,
  late: 'delivered' | 'dropped' = 'delivered',
): Nemesis {
  let victim: Linked | undefined
  return {
    get name() {
      const dropped = late === 'dropped' ? ', dropped' : ''
      return `${store} ${fault}${dropped} for ${victim?.name ?? 'one instance'}`
    },
    begin: async () => {
      victim = pick()
      if (victim) await LINK_FAULTS[fault](victim.link)
    },
    end: async () => {
      if (late === 'dropped') victim?.link.reset()
      await victim?.link.heal()
    },
  }
}
