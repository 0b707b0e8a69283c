import { number } from '../format.js'
import type { Discovery } from '../model/discovery.js'
import { Bars } from './bars.js'

export function AssetsCard({ discovery }: { discovery: Discovery }) {
  const { added, updated, assets, byType, byEnvironment } = discovery
  if (added === 0 && assets === undefined) return null
  return (
    <section class="card" aria-labelledby="assets">
      <h2 id="assets">
        Assets <span class="count">{number(assets ?? added)}</span>
      </h2>
      <p class="quiet">
        {number(added)} added, {number(updated)} updated by later rows
      </p>
      <Bars caption="By type" of="Type" rows={byType} />
      <Bars caption="By environment" of="Environment" rows={byEnvironment} most={6} />
    </section>
  )
}
