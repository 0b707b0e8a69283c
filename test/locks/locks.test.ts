import { reigns } from '../term/fleet.js'
import { locksConformance } from './locks.conformance.js'
import { openPair } from './pair.js'
import { STORES } from './stores.js'

for (const [name, open] of Object.entries(STORES)) locksConformance(name, open)

for (const store of ['redis', 'postgres'] as const) {
  locksConformance(`the pair while ${store} reigns`, async () => {
    const pair = await openPair()
    await reigns(pair.fleet, 'redis')
    await pair.reignsOn(store)
    return pair
  })
}
