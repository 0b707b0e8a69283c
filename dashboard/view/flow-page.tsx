import { useEffect, useRef } from 'preact/hooks'
import { words } from '../format.js'
import { useFlow } from '../live/use-flow.js'
import { useSecondsUntil } from '../live/use-seconds.js'
import { type Phase, share } from '../model/phases.js'
import { DependenciesCard, TreatmentsCard } from './analysis-card.js'
import { AssetsCard } from './assets-card.js'
import { ConnectionChip } from './connection-chip.js'
import { EventLog } from './event-log.js'
import { ImportCard } from './import-card.js'
import { MappingEditor } from './mapping-editor.js'
import { PhaseSteps } from './phase-steps.js'
import { ProgressBar } from './progress.js'
import { RejectedRows } from './rejected-rows.js'
import { ReportLink } from './report-link.js'
import { StatusChip } from './status-chip.js'

/** One flow, live. */
export function FlowPage({ flow }: { flow: string }) {
  const { model, meta, connection } = useFlow(flow)
  const { discovery, log } = model
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    // Whoever came here by a link goes on reading here; a page that has just been loaded is read from its top.
    if (document.activeElement !== document.body) title.current?.focus({ preventScroll: true })
  }, [])

  const phases = model.phases.all
  // A flow that never set its state is what the list calls it.
  const status = meta?.status ?? 'pending'
  const waiting = status === 'waiting'
  const over = status === 'completed' || status === 'failed' ? status : undefined
  const progress = meta?.progress ?? undefined
  const value = progress === undefined ? overall(phases) : progress / 100
  return (
    <>
      <div class="flow-top">
        <a class="back" href="#/">
          ← All flows
        </a>
        <h1 ref={title} tabIndex={-1}>
          {flow}
        </h1>
        <output>
          <StatusChip status={status} />
        </output>
        <ConnectionChip status={connection} />
        <ReportLink url={discovery.report} />
        {value !== undefined && (
          <div class="overall">
            <ProgressBar label="Progress of the flow" value={value} tone={over} />
            <span class="overall-text">
              {Math.round(value * 100)} %{meta?.phase && !over ? ` · ${words(meta.phase)}` : ''}
            </span>
          </div>
        )}
      </div>
      {discovery.failure !== undefined && status !== 'completed' && (
        <p class="banner banner-failed" role="alert">
          {discovery.failure}
        </p>
      )}
      {waiting && discovery.proposal && !discovery.confirmed && (
        <CallToAction goesOnAt={discovery.proposal.goesOnAt} />
      )}
      <PhaseSteps phases={phases} waiting={waiting} />
      <div class="board">
        {discovery.seen && (
          <div class="pictures">
            <ImportCard discovery={discovery} phase={phases.find(({ name }) => name === 'data_import')} />
            <TreatmentsCard discovery={discovery} />
            <AssetsCard discovery={discovery} />
            <DependenciesCard discovery={discovery} />
            {discovery.proposal && (
              <MappingEditor
                key={discovery.proposal.id}
                flow={flow}
                discovery={discovery}
                proposal={discovery.proposal}
                waiting={waiting}
              />
            )}
            <RejectedRows discovery={discovery} />
          </div>
        )}
        <EventLog log={log} />
      </div>
    </>
  )
}

function CallToAction({ goesOnAt }: { goesOnAt: number | undefined }) {
  const seconds = useSecondsUntil(goesOnAt)
  return (
    <div class="banner banner-waiting" role="status">
      <p>
        <strong>This flow waits for you.</strong> Check which column means what.{' '}
        {seconds !== undefined && seconds > 0 && (
          <span aria-hidden="true">Without an answer it goes on by itself in {seconds} s.</span>
        )}
      </p>
      <button
        type="button"
        class="primary"
        onClick={() => {
          const heading = document.getElementById('mapping')
          heading?.scrollIntoView({ block: 'start' })
          heading?.focus({ preventScroll: true })
        }}
      >
        Check the mapping
      </button>
    </div>
  )
}

/** Where the flow keeps no progress of its own: each phase counts the same. */
function overall(phases: readonly Phase[]): number | undefined {
  if (phases.length === 0) return undefined
  return phases.reduce((sum, phase) => sum + (share(phase) ?? 0), 0) / phases.length
}
