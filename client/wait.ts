/** Waits `ms`, or until the signal aborts, or until a browser says that the network is back. Never rejects. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const online: Pick<EventTarget, 'addEventListener' | 'removeEventListener'> | undefined =
      typeof globalThis.addEventListener === 'function' ? globalThis : undefined
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      online?.removeEventListener('online', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    online?.addEventListener('online', done)
    if (signal.aborted) done()
  })
}
