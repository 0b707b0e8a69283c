import type { Asset } from '../../examples/discovery/assets/asset.js'
import { normaliser } from '../../examples/discovery/assets/normalise.js'
import { ATTRIBUTE_NAMES, type Attribute } from '../../examples/discovery/mapping/attributes.js'

/** An asset from values by attribute. */
export function assetOf(values: Partial<Record<Attribute, string>>, row = 2): Asset {
  const normalise = normaliser(
    ATTRIBUTE_NAMES,
    Object.fromEntries(ATTRIBUTE_NAMES.map((name) => [name, name])),
  )
  const asset = normalise({ row, fields: ATTRIBUTE_NAMES.map((name) => values[name] ?? '') })
  if (asset === null) throw new Error('The row identifies nothing')
  return asset
}
