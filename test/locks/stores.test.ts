import { lockConformance } from './store.conformance.js'
import { STORES } from './stores.js'

for (const [name, open] of Object.entries(STORES)) lockConformance(name, open)
