// One process that runs the discovery flow on the built package, to be killed or measured from outside.
// Arguments: file, data folder, database, flow. It says `ready`, then its result as a line of JSON.
import { Spillway } from 'spillway'
import { runDemo } from '../../dist/examples/discovery/index.js'

const [file, dataDir, postgres, flow] = process.argv.slice(2)
const spillway = await Spillway.open({ dataDir, postgres })
process.stdout.write('ready\n')
/** What is in use on the heap, and not only not collected yet. */
const live = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
const before = live()
let peak = before
const watch = setInterval(() => {
  peak = Math.max(peak, live())
}, 250)
const result = await runDemo({
  spillway,
  file,
  flow,
  progress: false,
  autoConfirmMs: 150,
  asOf: '2026-01-18',
})
clearInterval(watch)
await spillway.close()
process.stdout.write(`${JSON.stringify({ ...result, before, peak })}\n`)
