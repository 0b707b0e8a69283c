import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readAnnouncement } from '../../src/events/announcement.js'

const line = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\n'))

/** As the scripts write it. */
function written(events: readonly (readonly [string, string, string])[]): string {
  return [`7 41 1737201600000 ${events.length}`, ...events.flat()].join('\n')
}

it('reads what the scripts say', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(line, line, line), { minLength: 1, maxLength: 5 }), (events) => {
      expect(readAnnouncement(written(events))).toEqual(
        events.map(([type, source, payload], i) => ({
          term: 7,
          seq: 41 + i,
          type,
          source,
          payload,
          at: 1737201600000,
        })),
      )
    }),
  )
})

it('takes a payload with line breaks for a hint, however many it has', () => {
  for (const breaks of [1, 2, 3, 6]) {
    const payload = `{"a":${'\n'.repeat(breaks)}1}`
    expect(readAnnouncement(written([['type', 'source', payload]]))).toBeUndefined()
  }
  for (const text of ['', '*', '7 41 1737201600000 0', 'x y z 1\na\nb\nc', '7 41 1737201600000 1']) {
    expect(readAnnouncement(text)).toBeUndefined()
  }
})
