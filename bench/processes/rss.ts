// Loaded into a measured server: on SIGUSR2 it collects garbage until nothing more goes, and says its RSS.
import { setImmediate } from 'node:timers/promises'

process.on('SIGUSR2', async () => {
  const collect = globalThis.gc
  if (!collect) throw new Error('started without --expose-gc')
  let least = Number.POSITIVE_INFINITY
  for (let unchanged = 0; unchanged < 3; unchanged++) {
    await setImmediate()
    collect()
    const { rss } = process.memoryUsage()
    if (rss < least - 65_536) unchanged = 0
    least = Math.min(least, rss)
  }
  process.stdout.write(`rss ${least}\n`)
})
