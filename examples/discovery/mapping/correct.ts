import { DiscoveryError } from '../errors.js'
import { ATTRIBUTE_NAMES, type Attribute, IDENTIFYING, isAttribute, type Mapping } from './attributes.js'

/**
 * A mapping with a person's correction: columns that the correction names are as it says, an attribute that it
 * gives to a column is taken from the column that had it.
 * Errors: `MAPPING_INVALID`, `MAPPING_WITHOUT_IDENTITY`.
 */
export function correctMapping(proposed: Mapping, payload: unknown): Mapping {
  const correction = readCorrection(payload, proposed)
  const given = new Map<Attribute, string>()
  for (const [column, attribute] of Object.entries(correction)) {
    if (attribute === null) continue
    const other = given.get(attribute)
    if (other !== undefined)
      throw new DiscoveryError('MAPPING_INVALID', `"${other}" and "${column}" cannot both be ${attribute}`)
    given.set(attribute, column)
  }
  const corrected: Mapping = Object.fromEntries(
    Object.entries(proposed).map(([column, attribute]) => {
      if (Object.hasOwn(correction, column)) return [column, correction[column] ?? null]
      return [column, attribute !== null && given.has(attribute) ? null : attribute]
    }),
  )
  checkIdentity(corrected)
  return corrected
}

/** Errors: `MAPPING_WITHOUT_IDENTITY` if no column tells one asset from another. */
export function checkIdentity(mapping: Mapping): void {
  const mapped = new Set(Object.values(mapping))
  if (IDENTIFYING.some((attribute) => mapped.has(attribute))) return
  throw new DiscoveryError(
    'MAPPING_WITHOUT_IDENTITY',
    `One column must be ${IDENTIFYING.join(' or ')}, to tell the assets apart`,
  )
}

function readCorrection(payload: unknown, proposed: Mapping): Mapping {
  if (!isObject(payload) || !isObject(payload.mapping)) {
    throw new DiscoveryError(
      'MAPPING_INVALID',
      'The payload must be {"mapping": {"column": "attribute" or null}}',
    )
  }
  return Object.fromEntries(
    Object.entries(payload.mapping).map(([column, attribute]) => {
      if (!Object.hasOwn(proposed, column)) {
        throw new DiscoveryError('MAPPING_INVALID', `The file has no column "${column.slice(0, 100)}"`)
      }
      if (attribute === null || isAttribute(attribute)) return [column, attribute]
      throw new DiscoveryError(
        'MAPPING_INVALID',
        `"${String(attribute).slice(0, 100)}" is none of ${ATTRIBUTE_NAMES.join(', ')}`,
      )
    }),
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
