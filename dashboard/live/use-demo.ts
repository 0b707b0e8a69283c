import { useEffect, useState } from 'preact/hooks'
import { BASE, credentials } from '../session.js'

/** True if this server imports files for the discovery example. `again` asks anew when it changes. */
export function useDemo(again: number): boolean {
  const [there, setThere] = useState(false)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new number asks again
  useEffect(() => {
    const abort = new AbortController()
    fetch(new URL('demo', BASE), { headers: credentials(), signal: abort.signal })
      .then(({ ok }) => setThere(ok))
      .catch(() => {})
    return () => abort.abort()
  }, [again])
  return there
}

/** Sends a file to be imported; returns the name of its flow. Errors: what the server said. */
export async function importFile(file: File): Promise<string> {
  const address = new URL('demo/import', BASE)
  address.searchParams.set('name', file.name)
  const response = await fetch(address, {
    method: 'POST',
    headers: { ...credentials(), 'content-type': 'application/octet-stream' },
    body: file,
  })
  const answer: { flow?: string; detail?: string } = await response.json().catch(() => ({}))
  if (!response.ok || answer.flow === undefined)
    throw new Error(answer.detail ?? `the server answered ${response.status}`)
  return answer.flow
}
