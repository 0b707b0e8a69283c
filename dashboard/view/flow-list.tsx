import { useState } from 'preact/hooks'
import type { FlowSummary } from '../../client/index.js'
import { ago, words } from '../format.js'
import { flowHref } from '../route.js'
import { ProgressBar } from './progress.js'
import { StatusChip } from './status-chip.js'

interface List {
  readonly flows: readonly FlowSummary[] | undefined
  readonly selected: string | undefined
}

/** Entries drawn at once; the filter finds the others. */
const SHOWN = 100
const STATUSES = ['pending', 'running', 'waiting', 'completed', 'failed', 'cancelled']

export function FlowList({ flows, selected }: List) {
  const [text, setText] = useState('')
  const [status, setStatus] = useState('')
  const wanted = text.trim().toLowerCase()
  const found = (flows ?? []).filter(
    (flow) => flow.flow.toLowerCase().includes(wanted) && (status === '' || flow.status === status),
  )
  const now = Date.now()
  return (
    <>
      <h2 class="side-title">
        Flows <span class="count">{flows?.length ?? ''}</span>
      </h2>
      <search class="filters">
        <input
          type="search"
          placeholder="Find a flow"
          aria-label="Find a flow by its name"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <select
          aria-label="Flows of which status"
          value={status}
          onChange={(event) => setStatus(event.currentTarget.value)}
        >
          <option value="">All</option>
          {STATUSES.map((name) => (
            <option key={name} value={name}>
              {words(name)}
            </option>
          ))}
        </select>
      </search>
      <ul class="flows">
        {found.slice(0, SHOWN).map((flow) => (
          <li key={flow.flow}>
            <a
              href={flowHref(flow.flow)}
              class="flow"
              aria-current={flow.flow === selected ? 'page' : undefined}
            >
              <span class="flow-name">{flow.flow}</span>
              <time dateTime={flow.active_at}>{ago(flow.active_at, now)}</time>
              <span class="flow-phase">{flow.phase ? words(flow.phase) : 'No phase yet'}</span>
              <StatusChip status={flow.status} />
              {flow.progress !== null && flow.progress !== undefined && (
                <ProgressBar
                  thin
                  label={`Progress of ${flow.flow}`}
                  value={flow.progress / 100}
                  tone={tone(flow)}
                />
              )}
            </a>
          </li>
        ))}
      </ul>
      {flows !== undefined && found.length === 0 && (
        <p class="quiet">
          {flows.length === 0 ? 'No flow has been published yet.' : 'No flow fits the filter.'}
        </p>
      )}
      {found.length > SHOWN && (
        <p class="quiet">
          The newest {SHOWN} of {found.length}; the filter finds the others.
        </p>
      )}
    </>
  )
}

function tone({ status }: FlowSummary): 'failed' | 'completed' | undefined {
  return status === 'failed' || status === 'completed' ? status : undefined
}
