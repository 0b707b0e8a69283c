/**
 * Waits until `condition` holds: for what only a look from outside can tell. What can be awaited is awaited.
 * Errors: the condition's own last error, or that it never held.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  {
    withinMs = 30_000,
    everyMs = 10,
    what = 'the condition',
  }: { withinMs?: number; everyMs?: number; what?: string } = {},
): Promise<T> {
  const deadline = performance.now() + withinMs
  let problem: unknown
  for (;;) {
    try {
      problem = undefined
      const value = await condition()
      if (value) return value
    } catch (error) {
      problem = error
    }
    if (performance.now() > deadline) {
      throw new Error(
        `${what} did not hold within ${withinMs} ms`,
        problem === undefined ? undefined : { cause: problem },
      )
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
