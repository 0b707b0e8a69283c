import { useEffect, useState } from 'preact/hooks'
import type { FlowMeta, StreamStatus } from '../../client/index.js'
import { FlowModel } from '../model/flow.js'
import { client } from '../session.js'

export interface LiveFlow {
  readonly model: FlowModel
  readonly meta: FlowMeta | null
  readonly connection: StreamStatus
}

const META_EVERY_MS = 2000

/** One flow from its beginning and then live. Drawn once a frame, however many events come. */
export function useFlow(flow: string): LiveFlow {
  const [live, setLive] = useState<LiveFlow>(nothing)
  useEffect(() => {
    const abort = new AbortController()
    let next = nothing()
    let frame = 0
    let asked: ReturnType<typeof setTimeout> | undefined
    const draw = (change: Partial<LiveFlow> = {}) => {
      next = { ...next, ...change }
      frame ||= requestAnimationFrame(() => {
        frame = 0
        setLive(next)
      })
    }
    const askMeta = async () => {
      clearTimeout(asked)
      const meta = await client.meta(flow, { signal: abort.signal }).catch(() => next.meta)
      if (abort.signal.aborted) return
      draw({ meta })
      asked = setTimeout(askMeta, META_EVERY_MS)
    }
    setLive(next)
    void askMeta()
    const watch = client.watch(flow, {
      after: '0',
      onEvent: (event) => {
        next.model.event(event)
        draw()
        // The state is written beside the event: ask when the flow turns a corner, not only by the clock.
        if (/^(flow|mapping)_|^phase_(started|completed)$/.test(event.type) && asked !== undefined) {
          clearTimeout(asked)
          asked = setTimeout(askMeta, 150)
        }
      },
      onGap: (gap) => {
        next.model.gap(gap)
        draw()
      },
      onStatus: (connection) => draw({ connection }),
    })
    return () => {
      watch.close()
      abort.abort()
      clearTimeout(asked)
      cancelAnimationFrame(frame)
    }
  }, [flow])
  return live
}

function nothing(): LiveFlow {
  return { model: new FlowModel(), meta: null, connection: { state: 'connecting', attempt: 0 } }
}
