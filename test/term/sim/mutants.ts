import type { Plugin } from 'vitest/config'
import { ALL_GUARDS, mutationOf } from './guards.js'

const MUTANT = /\/src\/term\/(\w+)\.[jt]s\?without=([\d+]+)$/

/** Gives `src/term/*.ts?without=3+5` as the module is without the fourth and the sixth guard. */
export function mutants(): Plugin {
  return {
    name: 'modules without a guard',
    enforce: 'pre',
    transform(code, id) {
      const [, file, indices] = MUTANT.exec(id) ?? []
      if (file === undefined || indices === undefined) return undefined
      // Its parts are mutants too, or the change would not be met.
      let text = code.replace(/'\.\/(lead|situation|states|view)\.js'/g, `'./$1.js?without=${indices}'`)
      for (const index of indices.split('+')) {
        const guard = ALL_GUARDS[Number(index)]
        const mutation = guard && mutationOf(guard)
        if (mutation?.file !== file) continue
        const parts = text.split(mutation.from)
        if (parts.length !== 2) throw new Error(`The guard "${guard}" is not found once in ${file}.ts`)
        text = parts.join(mutation.to)
      }
      return { code: text, map: null }
    },
  }
}
