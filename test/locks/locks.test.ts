import { describe, expect, it } from 'vitest'
import { LockDesk } from '../../src/locks/desk.js'
import { PATIENCE_MS } from '../../src/locks/locks.js'
import { Locks } from '../../src/locks/tenant-locks.js'
import { eventually } from '../support/eventually.js'
import { reigns } from '../term/fleet.js'
import { locksConformance } from './locks.conformance.js'
import { openPair } from './pair.js'
import { type OpenStore, STORES } from './stores.js'

for (const [name, open] of Object.entries(STORES)) locksConformance(name, open)

for (const store of ['redis', 'postgres'] as const) {
  locksConformance(`the pair while ${store} reigns`, async () => {
    const pair = await openPair()
    await reigns(pair.fleet, 'redis')
    await pair.reignsOn(store)
    return pair
  })
}

describe.each(['Redis', 'a Redis Cluster', 'PostgreSQL'])('who waits for a lock on %s', (name) => {
  it('is told when its turn has come, sooner than it would ask', async () => {
    const at = await (STORES[name] as () => Promise<OpenStore>)()
    const { database, redis } = at
    const desks = ([0, 1] as const).map(
      (i) => new LockDesk({ instanceId: `${i}`, term: at.term(i), database, redis }),
    )
    try {
      const sides = desks.map((desk) => new Locks('acme', desk))
      const took: number[] = []
      let got = await sides[0]?.acquire('x', { ttlMs: 60_000 })
      for (let i = 1; i <= 9; i++) {
        if (!got || 'busy' in got) throw new Error('it is busy')
        const waits = sides[i % 2]?.acquire('x', { ttlMs: 60_000, waitMs: 30_000 })
        const stands = async () =>
          (await at.store.look({ tenant: 'acme', name: 'x' }, at.reign))?.waiting === 1
        await eventually(stands, { what: 'it waits' })
        const began = performance.now()
        await got.lease.release()
        got = await waits
        took.push(performance.now() - began)
      }
      const median = took.sort((x, y) => x - y)[4]
      expect(median).toBeLessThan(PATIENCE_MS / 8)
    } finally {
      await Promise.all(desks.map((desk) => desk.close()))
      await at.close()
    }
  })
})
