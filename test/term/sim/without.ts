import { Controller } from '../../../src/term/controller.js'
import type { ControllerClass } from './fleet.js'
import { ALL_GUARDS, type Guard, mutationOf } from './guards.js'

/** The real code without some guards; for those that the simulation plays the code as it is. */
export async function without(...guards: readonly Guard[]): Promise<ControllerClass> {
  const inCode = guards.filter((guard) => mutationOf(guard))
  if (inCode.length === 0) return Controller
  const path = `../../../src/term/controller.js?without=${inCode.map((guard) => ALL_GUARDS.indexOf(guard)).join('+')}`
  const changed: { Controller: ControllerClass } = await import(path)
  return changed.Controller
}
