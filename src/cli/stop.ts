/** What comes sooner after the first is its echo: npm and process groups pass on what this process has got too. */
const ECHO_MS = 500

/**
 * A signal that the first SIGINT or SIGTERM aborts, so that the command ends in good order; the next ends
 * the process at once.
 */
export function stopSignal(): AbortSignal {
  const stop = new AbortController()
  let firstAt = 0
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted && performance.now() - firstAt > ECHO_MS)
        process.exit(name === 'SIGINT' ? 130 : 143)
      if (stop.signal.aborted) return
      firstAt = performance.now()
      stop.abort()
    })
  }
  return stop.signal
}

/** Resolves when the signal is aborted. */
export function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
  })
}
