import type { Static, TSchema } from '@sinclair/typebox'
import { TypeCompiler, type ValueError } from '@sinclair/typebox/compiler'
import { CODES, type Code, SpillwayError } from '../errors.js'

type Part = 'path' | 'query' | 'body'

/**
 * Compiles a schema to a check that answers the value, typed. Errors: `INVALID_ARGUMENT`, or the code that the
 * schema names as `x-code`.
 */
export function checker<S extends TSchema>(schema: S | undefined, part: Part): (value: unknown) => Static<S> {
  if (schema === undefined) return () => undefined as Static<S>
  const whole = TypeCompiler.Compile(schema)
  const branches = branchesOf(schema)
  return (value) => {
    if (whole.Check(value)) return value
    // What is wrong with a value of several possible shapes is told for the shape it was meant to have.
    const meant = Array.isArray(value) ? branches.list : branches.single
    const error = (meant ?? whole).Errors(value).First() ?? whole.Errors(value).First()
    throw refusal(error, part)
  }
}

function branchesOf(schema: TSchema) {
  const all: TSchema[] = Array.isArray(schema.anyOf) ? schema.anyOf : []
  const compile = (branch: TSchema | undefined) => branch && TypeCompiler.Compile(branch)
  return {
    list: compile(all.find(({ type }) => type === 'array')),
    single: compile(all.find(({ type }) => type === 'object')),
  }
}

function refusal(error: ValueError | undefined, part: Part): SpillwayError {
  if (!error) return new SpillwayError('INVALID_ARGUMENT', `The ${part} is not valid`)
  const path = error.path.slice(1).replaceAll('~1', '/').replaceAll('~0', '~').slice(0, 128)
  const where = path === '' ? `The ${part}` : `${path} (in the ${part})`
  const code: unknown = error.schema['x-code']
  const choices: unknown = error.schema.enum
  const message = Array.isArray(choices) ? `Expected one of ${choices.join(', ')}` : error.message
  return new SpillwayError(isCode(code) ? code : 'INVALID_ARGUMENT', `${where}: ${message}`)
}

function isCode(value: unknown): value is Code {
  return typeof value === 'string' && Object.hasOwn(CODES, value)
}
