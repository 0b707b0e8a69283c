import { parseArgs } from 'node:util'
import { fanout } from './fanout.js'
import { fast } from './fast.js'
import { full } from './full.js'
import { growth } from './growth.js'
import { http } from './http.js'
import { instances } from './instances.js'
import { latency } from './latency.js'
import { limits } from './limits.js'
import { locks } from './locks.js'
import { machine } from './machine.js'
import { memory } from './memory.js'
import { publish } from './publish.js'
import { type Claim, print } from './report.js'
import { turn } from './turn.js'

/** One a claim: `npm run bench [name …] [-- --quick]`. */
const CLAIMS: readonly Claim[] = [
  publish,
  fanout,
  memory,
  latency,
  http,
  growth,
  fast,
  full,
  turn,
  instances,
  limits,
  locks,
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false } },
})
const unknown = positionals.filter((name) => !CLAIMS.some((claim) => claim.name === name))
if (unknown.length > 0) {
  print(`no such bench: ${unknown.join(', ')}; there are ${CLAIMS.map((claim) => claim.name).join(', ')}`)
  process.exit(2)
}
print(machine())
if (values.quick) print('quick: short rounds, for a look at the trend only')
for (const claim of CLAIMS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  print(`\n## ${claim.name}: ${claim.says}\n`)
  const started = performance.now()
  await claim.run({ quick: values.quick })
  print(`(${((performance.now() - started) / 1000).toFixed(0)} s)`)
}
process.exit(0)
