import { useEffect, useState } from 'preact/hooks'

const FLOW = /^#\/flows\/(.+)$/

function current(): string | undefined {
  const name = FLOW.exec(location.hash)?.[1]
  if (name === undefined) return undefined
  try {
    return decodeURIComponent(name)
  } catch {
    return undefined
  }
}

/** Address of a flow's page within the page. */
export const flowHref = (flow: string): string => `#/flows/${encodeURIComponent(flow)}`

/** The flow that the address names. */
export function useRoute(): string | undefined {
  const [flow, setFlow] = useState(current)
  useEffect(() => {
    const follow = () => setFlow(current())
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  return flow
}
