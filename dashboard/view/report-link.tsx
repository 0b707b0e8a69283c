import { useState } from 'preact/hooks'
import { BASE, credentials, linkTo, signedIn } from '../session.js'

/** Link to the flow's report, if its address is one of this server's: events are written by others. */
export function ReportLink({ url }: { url: string | undefined }) {
  const address = url === undefined ? undefined : own(url)
  if (address === undefined) return null
  if (signedIn()) return <Download address={address} />
  return (
    <a class="button primary" href={linkTo(address)}>
      Open the report
    </a>
  )
}

/** Where a key is needed a link would be refused: the report is fetched with the key and saved. */
function Download({ address }: { address: URL }) {
  const [failed, setFailed] = useState(false)
  const save = async () => {
    try {
      const response = await fetch(address, { headers: credentials() })
      if (!response.ok) throw new Error(String(response.status))
      const link = document.createElement('a')
      link.href = URL.createObjectURL(await response.blob())
      link.download = 'report.html'
      link.click()
      URL.revokeObjectURL(link.href)
      setFailed(false)
    } catch {
      setFailed(true)
    }
  }
  return (
    <button type="button" class="button primary" onClick={() => void save()}>
      {failed ? 'The report did not come: try again' : 'Save the report'}
    </button>
  )
}

function own(url: string): URL | undefined {
  try {
    // The server counts its paths from its own root, which may lie below another's.
    const address = new URL(url.replace(/^\/(?!\/)/, ''), BASE)
    const known = address.protocol === 'http:' || address.protocol === 'https:'
    return known && address.host === location.host ? address : undefined
  } catch {
    return undefined
  }
}
