// Preloaded into a Node process (`node --import`): its wall clock is shifted by the milliseconds that stand in
// the file named by SHIFTED_CLOCK. Monotonic time (performance.now, timers) is left alone, as by a real step.
import { readFileSync } from 'node:fs'

const file = process.env.SHIFTED_CLOCK
const RealDate = Date
let shiftMs = 0
const look = () => {
  shiftMs = Number(readFileSync(file, 'utf8')) || 0
}

if (file) {
  look()
  setInterval(look, 100).unref()
  globalThis.Date = class extends RealDate {
    constructor(...parts) {
      if (parts.length === 0) super(RealDate.now() + shiftMs)
      else super(...parts)
    }
    static now() {
      return RealDate.now() + shiftMs
    }
  }
}
