import { number, plural } from '../format.js'
import type { Discovery } from '../model/discovery.js'
import { Bars, StackedBar } from './bars.js'

/** From the least work to the end: each keeps its place and colour while the counts grow. */
const TREATMENTS = ['rehost', 'replatform', 'refactor', 'rearchitect', 'replace', 'retire']

export function TreatmentsCard({ discovery: { treatments, assessed } }: { discovery: Discovery }) {
  if (treatments.length === 0) return null
  return (
    <section class="card" aria-labelledby="treatments">
      <h2 id="treatments">Suggested treatments</h2>
      {assessed !== undefined && <p class="quiet">{plural(assessed, 'asset')} assessed</p>}
      <StackedBar label="Assets by suggested treatment" rows={treatments} order={TREATMENTS} />
    </section>
  )
}

export function DependenciesCard({
  discovery: { dependencies, told, kinds, targets },
}: {
  discovery: Discovery
}) {
  if (dependencies === 0) return null
  return (
    <section class="card" aria-labelledby="dependencies">
      <h2 id="dependencies">
        Dependencies <span class="count">{number(dependencies)}</span>
      </h2>
      {told < dependencies && <p class="quiet">Pictured: the {number(told)} that the flow has told of</p>}
      {kinds.length > 1 && <Bars caption="By kind" of="Kind" rows={kinds} />}
      <Bars caption="What most others need" of="Asset" rows={targets} verbatim />
    </section>
  )
}
