import { number, plural } from '../format.js'
import type { Discovery } from '../model/discovery.js'
import type { Phase } from '../model/phases.js'

const POINTS = 60

/** Rows read, how fast, and how many were kept aside. */
export function ImportCard({ discovery, phase }: { discovery: Discovery; phase: Phase | undefined }) {
  if (phase?.done === undefined) return null
  const line = discovery.throughput.line(POINTS)
  const { mean } = discovery.throughput
  return (
    <section class="card" aria-labelledby="import">
      <h2 id="import">Import</h2>
      <div class="import">
        <dl class="figures">
          <div>
            <dt>{phase.unit ?? 'rows'} read</dt>
            <dd>{number(phase.done)}</dd>
          </div>
          <div>
            <dt>a second</dt>
            <dd>{mean === undefined ? '–' : number(mean)}</dd>
          </div>
          <div class={discovery.rejectedTotal > 0 ? 'warn' : ''}>
            <dt>rejected</dt>
            <dd>{number(discovery.rejectedTotal)}</dd>
          </div>
        </dl>
        {line.length > 0 && <Spark line={line} />}
      </div>
    </section>
  )
}

function Spark({ line }: { line: readonly number[] }) {
  const top = Math.max(...line, 1)
  const points = line.map((value, index) => `${(index / (line.length - 1)) * 100},${30 - (value / top) * 28}`)
  return (
    <svg
      class="spark"
      viewBox="0 0 100 30"
      preserveAspectRatio="none"
      role="img"
      aria-label={`Speed over time, at most ${plural(top, 'row')} a second`}
    >
      <polygon points={`0,30 ${points.join(' ')} 100,30`} />
      <polyline points={points.join(' ')} />
    </svg>
  )
}
