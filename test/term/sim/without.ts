import { Controller } from '../../../src/term/controller.js'
import type { ControllerClass } from './fleet.js'
import { ALL_GUARDS, type Guard, mutationOf } from './guards.js'

/** The real code without one guard; for a guard that the simulation plays the code as it is. */
export async function without(guard: Guard): Promise<ControllerClass> {
  if (!mutationOf(guard)) return Controller
  const path = `../../../src/term/controller.js?without=${ALL_GUARDS.indexOf(guard)}`
  const changed: { Controller: ControllerClass } = await import(path)
  return changed.Controller
}
