import type { FastifyRequest } from 'fastify'
import type { Principal } from '../access/principal.js'
import { SpillwayError } from '../errors.js'

const callers = new WeakMap<FastifyRequest, Principal>()

/** Keeps who sent a request: known from its head, before any of its body is read. */
export function recognise(request: FastifyRequest, caller: Principal): void {
  callers.set(request, caller)
}

/** Who sent a request; undefined where nobody was asked for. */
export function knownCaller(request: FastifyRequest): Principal | undefined {
  return callers.get(request)
}

/** Who sent a request to a route that asks who calls. */
export function callerOf(request: FastifyRequest): Principal {
  const caller = callers.get(request)
  if (!caller) throw new SpillwayError('INTERNAL', 'This request was not authenticated')
  return caller
}
