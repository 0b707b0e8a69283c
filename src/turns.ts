let works: (() => void)[] = []

/**
 * Calls `work` when this turn of the event loop ends; what asks for it at an end, at the next one. As setImmediate, but
 * all in one callback, so that what several of them send goes out in one write (bench/locks: a seventh more). `work`
 * must not throw.
 */
export function atTurnsEnd(work: () => void): void {
  works.push(work)
  if (works.length > 1) return
  setImmediate(() => {
    const all = works
    works = []
    for (const one of all) one()
  })
}
