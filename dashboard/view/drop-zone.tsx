import { useEffect, useState } from 'preact/hooks'
import { importFile } from '../live/use-demo.js'
import { flowHref } from '../route.js'

/** Takes a table of the user's: chosen by button, or dropped anywhere on the page. */
export function DropZone() {
  const [over, setOver] = useState(false)
  const [said, setSaid] = useState('')
  const [busy, setBusy] = useState(false)

  const take = async (file: File | undefined) => {
    if (!file) return
    setBusy(true)
    setSaid(`Sending ${file.name}`)
    try {
      const flow = await importFile(file)
      setSaid(`${file.name} is being imported`)
      location.hash = flowHref(flow)
    } catch (error) {
      setSaid(`${file.name} was not taken: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      setBusy(false)
    }
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: listens once, for the life of the page
  useEffect(() => {
    // Enter and leave come for every element under the pointer: they are counted.
    let depth = 0
    const carries = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
    const enter = (event: DragEvent) => {
      if (!carries(event)) return
      depth += 1
      setOver(true)
    }
    const leave = (event: DragEvent) => {
      if (!carries(event)) return
      depth = Math.max(0, depth - 1)
      if (depth === 0) setOver(false)
    }
    const allow = (event: DragEvent) => {
      if (carries(event)) event.preventDefault()
    }
    const drop = (event: DragEvent) => {
      if (!carries(event)) return
      event.preventDefault()
      depth = 0
      setOver(false)
      void take(event.dataTransfer?.files[0])
    }
    addEventListener('dragenter', enter)
    addEventListener('dragleave', leave)
    addEventListener('dragover', allow)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragenter', enter)
      removeEventListener('dragleave', leave)
      removeEventListener('dragover', allow)
      removeEventListener('drop', drop)
    }
  }, [])

  return (
    <div class="drop">
      <label class={busy ? 'drop-box busy' : 'drop-box'}>
        <strong>Import a file of yours</strong>
        <span class="quiet">CSV or TSV: choose it, or drop it anywhere on this page</span>
        <input
          class="unseen"
          type="file"
          accept=".csv,.tsv,.txt,text/csv,text/tab-separated-values,text/plain"
          disabled={busy}
          onChange={(event) => {
            void take(event.currentTarget.files?.[0])
            event.currentTarget.value = ''
          }}
        />
      </label>
      <output class="quiet">{said}</output>
      {over && (
        <div class="drop-over" aria-hidden="true">
          Drop the table to import it
        </div>
      )}
    </div>
  )
}
