import { fenceFloor, type Reign } from '../../src/term/term.js'

/** A reign whose markers nobody looks at. */
export function reignOf(
  number: number,
  { store = 'redis', identity = '' }: Partial<Pick<Reign, 'store' | 'identity'>> = {},
): Reign {
  return {
    number,
    store,
    sign: '',
    marker: '',
    identity,
    fenceFloor: fenceFloor(number),
    quarantined: false,
  }
}
