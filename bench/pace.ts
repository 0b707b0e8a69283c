/**
 * Makes `perSecond` calls a second, evenly, for as long as `going` says, whether or not earlier ones have been
 * answered; resolves when all have ended. A moment in which nothing could be called is made up for at once.
 */
export async function pace(
  perSecond: number,
  going: (elapsedMs: number) => boolean,
  call: (i: number) => Promise<void>,
): Promise<void> {
  const calls: Promise<void>[] = []
  const started = performance.now()
  for (;;) {
    const elapsed = performance.now() - started
    if (!going(elapsed)) break
    while (calls.length < (elapsed * perSecond) / 1000) calls.push(call(calls.length))
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(calls)
}
