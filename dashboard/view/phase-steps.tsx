import { duration, number, words } from '../format.js'
import { type Phase, share } from '../model/phases.js'
import { ProgressBar } from './progress.js'

/** The flow's phases in order: what is done, how long it took, what is under way. */
export function PhaseSteps({ phases, waiting }: { phases: readonly Phase[]; waiting: boolean }) {
  if (phases.length === 0) return null
  return (
    <section aria-label="Phases">
      <ol class="steps">
        {phases.map((phase, index) => (
          <li
            key={phase.name}
            class={`step step-${phase.state}${waiting && phase.state === 'running' ? ' step-waiting' : ''}`}
            aria-current={phase.state === 'running' ? 'step' : undefined}
          >
            <span class="step-mark" aria-hidden="true">
              {phase.state === 'completed' ? '✓' : phase.state === 'failed' ? '×' : index + 1}
            </span>
            <span class="step-name">{words(phase.name)}</span>
            <span class="step-note">{note(phase, waiting)}</span>
            <ProgressBar
              thin
              label={`Progress of ${words(phase.name)}`}
              value={waiting && phase.state === 'running' ? (share(phase) ?? 0) : share(phase)}
              tone={phase.state === 'failed' || phase.state === 'completed' ? phase.state : undefined}
            />
          </li>
        ))}
      </ol>
    </section>
  )
}

function note(phase: Phase, waiting: boolean): string {
  const { state, done, total, unit, counted, startedAt, endedAt } = phase
  if (state === 'ahead') return 'to come'
  const [first] = counted
  let amount = ''
  if (state === 'completed' && first) amount = `${number(first[1])} ${words(first[0]).toLowerCase()}`
  else if (done && unit !== 'steps')
    amount = `${number(done)}${total ? ` of ${number(total)}` : ''} ${unit ?? ''}`.trim()

  const took = startedAt !== undefined && endedAt !== undefined ? duration(endedAt - startedAt) : ''
  const parts = [amount, took].filter((part) => part !== '')
  if (parts.length > 0) return parts.join(' · ')
  return state === 'running' ? (waiting ? 'waiting for you' : 'under way') : state
}
