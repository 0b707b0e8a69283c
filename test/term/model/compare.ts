import fc from 'fast-check'
import { expect } from 'vitest'

/** A store that is asked, and what is seen in it afterwards. */
export interface Side<Request> {
  reset(): Promise<void>
  ask(request: Request): Promise<unknown>
  /** The last request once more, as by one who never got its answer. */
  again(request: Request): Promise<unknown>
  look(): Promise<unknown>
}

/**
 * Puts the same requests to two sides, in many orders, and compares each answer and what is seen afterwards; some are
 * repeated, which must change nothing more. Answers the first requests by which the sides differ, as a text;
 * undefined if there are none.
 */
export async function difference<Request>(
  request: fc.Arbitrary<Request>,
  one: Side<Request>,
  other: Side<Request>,
  options: { readonly runs: number; readonly length: number },
): Promise<string | undefined> {
  const runs = fc.array(fc.tuple(request, fc.boolean()), {
    minLength: 1,
    maxLength: options.length,
    size: 'max',
  })
  const property = fc.asyncProperty(runs, async (requests) => {
    await Promise.all([one.reset(), other.reset()])
    const asked: Request[] = []
    for (const [each, repeated] of requests) {
      asked.push(each)
      const answers = [await one.ask(each), await other.ask(each)].map(textOf)
      const seen = [await one.look(), await other.look()].map(textOf)
      if (answers[0] !== answers[1]) throw new Difference(`${textOf(asked)}: ${answers.join(' but ')}`)
      if (seen[0] !== seen[1]) throw new Difference(`behind ${textOf(asked)}: ${seen.join(' but ')}`)
      if (!repeated) continue
      await Promise.all([one.again(each), other.again(each)])
      expect(textOf(await other.look()), `repeated: ${textOf(asked)}`).toBe(seen[1])
    }
  })
  const { failed, errorInstance, seed } = await fc.check(property, {
    numRuns: options.runs,
    endOnFailure: true,
  })
  if (!failed) return undefined
  if (!(errorInstance instanceof Difference)) throw errorInstance
  return `${errorInstance.message} (seed ${seed})`
}

class Difference extends Error {}

const textOf = (value: unknown) => JSON.stringify(value)
