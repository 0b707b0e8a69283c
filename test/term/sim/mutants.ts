import type { Plugin } from 'vitest/config'
import { ALL_GUARDS, mutationOf } from './guards.js'

const MUTANT = /\/src\/term\/(\w+)\.[jt]s\?without=(\d+)$/

/** Gives `src/term/*.ts?without=3` as the module is without the fourth guard. */
export function mutants(): Plugin {
  return {
    name: 'modules without a guard',
    enforce: 'pre',
    transform(code, id) {
      const [, file, index] = MUTANT.exec(id) ?? []
      const guard = ALL_GUARDS[Number(index)]
      if (file === undefined || guard === undefined) return undefined
      const mutation = mutationOf(guard)
      // Its parts are mutants too, or the change would not be met.
      let text = code.replace(/'\.\/(lead|situation|states|view)\.js'/g, `'./$1.js?without=${index}'`)
      if (mutation?.file === file) {
        const parts = text.split(mutation.from)
        if (parts.length !== 2) throw new Error(`The guard "${guard}" is not found once in ${file}.ts`)
        text = parts.join(mutation.to)
      }
      return { code: text, map: null }
    },
  }
}
