import { expect, it } from 'vitest'
import { Remembered } from '../src/remembered.js'

it('makes a text once while it is remembered, and forgets all when there are too many', () => {
  const made: string[] = []
  const texts = new Remembered((a, b) => {
    made.push(`${a}/${b}`)
    return `${a}/${b}`
  }, 3)
  for (const [a, b] of [
    ['x', '1'],
    ['x', '2'],
    ['y', '1'],
    ['x', '1'],
    ['y', '1'],
  ] as const)
    expect(texts.of(a, b)).toBe(`${a}/${b}`)
  expect(made).toEqual(['x/1', 'x/2', 'y/1'])
  // The fourth takes the place of all.
  expect(texts.of('y', '2')).toBe('y/2')
  expect(texts.of('y', '1')).toBe('y/1')
  expect(made.slice(3)).toEqual(['y/2', 'y/1'])
})
