import { useEffect, useState } from 'preact/hooks'
import { useDemo } from './live/use-demo.js'
import { useFlows } from './live/use-flows.js'
import { flowHref, useRoute } from './route.js'
import { signedIn, signIn } from './session.js'
import { DropZone } from './view/drop-zone.js'
import { FlowList } from './view/flow-list.js'
import { FlowPage } from './view/flow-page.js'
import { SignIn } from './view/sign-in.js'

const BOTH_FIT = '(min-width: 761px)'

export function App() {
  const [session, setSession] = useState(0)
  const flow = useRoute()
  const { flows, error } = useFlows(session)
  const demo = useDemo(session)

  // A newcomer sees the newest flow at once, where there is room beside the list.
  const newest = flows?.[0]?.flow
  useEffect(() => {
    if (flow === undefined && newest !== undefined && matchMedia(BOTH_FIT).matches)
      location.replace(flowHref(newest))
  }, [flow, newest])
  useEffect(() => {
    document.title = flow === undefined ? 'Spillway' : `${flow} · Spillway`
  }, [flow])

  if (error?.status === 401) {
    return (
      <SignIn
        refused={signedIn()}
        onSubmit={(key) => {
          signIn(key)
          setSession(session + 1)
        }}
      />
    )
  }
  return (
    <div class={flow === undefined ? 'app' : 'app has-flow'}>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the flow
      </button>
      <header class="top">
        <a class="brand" href="#/">
          <Waves />
          Spillway
        </a>
        <output class="server">
          {error ? (
            <span class="chip chip-failed">
              {error.status === 0 ? 'Server does not answer' : error.message}
            </span>
          ) : flows === undefined ? (
            <span class="chip">Connecting</span>
          ) : (
            <span class="chip chip-completed">Server answers</span>
          )}
        </output>
      </header>
      <nav class="side" aria-label="Flows">
        <FlowList flows={flows} selected={flow} />
        {demo && <DropZone />}
      </nav>
      <main id="main" class="main" tabIndex={-1}>
        {flow === undefined ? (
          <Nothing waiting={flows === undefined} />
        ) : (
          <FlowPage key={`${session} ${flow}`} flow={flow} />
        )}
      </main>
    </div>
  )
}

function Nothing({ waiting }: { waiting: boolean }) {
  return (
    <div class="nothing">
      <h1>{waiting ? 'Connecting' : 'No flow is open'}</h1>
      <p>{waiting ? 'Asking the server for its flows.' : 'Choose one from the list to watch it live.'}</p>
    </div>
  )
}

function Waves() {
  return (
    <svg class="waves" viewBox="0 0 32 26" aria-hidden="true">
      <path d="M2 6c5 0 5-4 10-4s5 4 10 4 4-4 8-4M2 14c5 0 5-4 10-4s5 4 10 4 4-4 8-4M2 22c5 0 5-4 10-4s5 4 10 4 4-4 8-4" />
    </svg>
  )
}
