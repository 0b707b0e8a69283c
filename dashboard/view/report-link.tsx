import { BASE } from '../session.js'

/** Link to the flow's report, if its address is one of this server's: events are written by others. */
export function ReportLink({ url }: { url: string | undefined }) {
  const address = url === undefined ? undefined : safe(url)
  if (address === undefined) return null
  return (
    <a class="button primary" href={address}>
      Open the report
    </a>
  )
}

function safe(url: string): string | undefined {
  try {
    const address = new URL(url, BASE)
    const known = address.protocol === 'http:' || address.protocol === 'https:'
    return known && address.host === location.host ? address.href : undefined
  } catch {
    return undefined
  }
}
