/** The payload of every bench: 300 bytes as JSON. */
export function payload(i: number): { readonly step: number; readonly text: string } {
  const step = 1_000_000 + (i % 1_000_000)
  return { step, text: 'x'.repeat(300 - '{"step":1000000,"text":""}'.length) }
}

/**
 * Keeps `publishers` calls of `publish` in flight for `ms`; returns calls a second. The i-th call goes to flow
 * i × 7919 mod flows: all flows in turn, none twice in a row.
 */
export async function load(
  { publishers, flows, ms }: { publishers: number; flows: number; ms: number },
  publish: (flow: number, i: number) => Promise<unknown>,
): Promise<number> {
  let next = 0
  let done = 0
  const started = performance.now()
  const deadline = started + ms
  const publisher = async () => {
    while (performance.now() < deadline) {
      const i = next++
      await publish((i * 7919) % flows, i)
      done += 1
    }
  }
  await Promise.all(Array.from({ length: publishers }, publisher))
  return done / ((performance.now() - started) / 1000)
}
