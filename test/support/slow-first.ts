import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest, the longest first. One that began last would be alone at the end. */
const SLOW = [
  'chaos/chaos.test.ts',
  'chaos/locks.test.ts',
  'chaos/full.test.ts',
  'cli/cli.test.ts',
  'limits/away.test.ts',
  'locks/locks.test.ts',
  'limits/turn.test.ts',
  'discovery/kill.test.ts',
  'term/controller.test.ts',
  'locks/turn.test.ts',
  'locks/stores.test.ts',
  'discovery/memory.test.ts',
  'postgres/embedded.test.ts',
  'http/slow-readers.test.ts',
  'cli/redis-mode.test.ts',
  'client/live.test.ts',
  'dashboard/page.test.ts',
  'full.test.ts',
]

/** The order of test files: on a machine that has run them before Vitest knows their times itself, on a new one not. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = SLOW.findIndex((name) => moduleId.endsWith(`/test/${name}`))
      return at < 0 ? SLOW.length : at
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}
