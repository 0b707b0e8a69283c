import { useEffect, useState } from 'preact/hooks'
import { ClientError, type FlowSummary } from '../../client/index.js'
import { client } from '../session.js'

const EVERY_MS = 2000
/** Flows in the list; older ones are found by their address. */
const MOST = 200

export interface Flows {
  /** Newest first; undefined before the first answer. */
  readonly flows: readonly FlowSummary[] | undefined
  readonly error: ClientError | undefined
}

/** The tenant's newest flows, asked for every 2 s while the page is seen. `again` asks anew when it changes. */
export function useFlows(again: number): Flows {
  const [state, setState] = useState<Flows>({ flows: undefined, error: undefined })
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new number asks again
  useEffect(() => {
    const abort = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async () => {
      clearTimeout(timer)
      if (document.hidden) return
      try {
        const flows = await client.flows({ recent: MOST, signal: abort.signal })
        setState({ flows, error: undefined })
      } catch (error) {
        if (abort.signal.aborted) return
        const problem = error instanceof ClientError ? error : new ClientError('INTERNAL', String(error))
        setState(({ flows }) => ({ flows, error: problem }))
        if (problem.status === 401) return
      }
      timer = setTimeout(look, EVERY_MS)
    }
    void look()
    document.addEventListener('visibilitychange', look)
    return () => {
      abort.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', look)
    }
  }, [again])
  return state
}
