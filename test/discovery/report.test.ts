import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assess } from '../../examples/discovery/analysis/assess.js'
import { htmlReport } from '../../examples/discovery/report/html.js'
import type { Summary } from '../../examples/discovery/report/summary.js'
import { csvField, csvLine, escapeHtml } from '../../examples/discovery/report/text.js'
import { assetOf } from './assets.js'

const SUMMARY: Summary = {
  file: 'table.csv',
  bytes: 1,
  encoding: 'utf-8',
  delimiter: ',',
  asOf: '2026-01-18',
  rows: 1,
  rejected: 1,
  assets: 1,
  duplicates: 0,
  dependencies: 0,
  unresolved: 1,
  unresolvedNames: [['ghost', 1]],
  byType: { server: 1 },
  byEnvironment: { unknown: 1 },
  byTreatment: { rehost: 1 },
  mapping: { Host: 'hostname', Odd: null },
  phases: [],
}

function page(text: string): string {
  const asset = { ...assetOf({ hostname: 'srv-1' }), name: text, hostname: text, operatingSystem: text }
  const assessment = assess({ asset, dependents: 2, dependencies: 0, asOf: '2026-01-18' })
  const assessed = {
    asset,
    dependents: 2,
    dependencies: 0,
    assessment: {
      ...assessment,
      reasons: assessment.reasons.map((reason) => ({ ...reason, text, points: 1 })),
    },
  }
  const summary: Summary = {
    ...SUMMARY,
    file: text,
    encoding: text,
    delimiter: text,
    unresolvedNames: [[text, 1]],
    byType: { [text]: 1 },
    byEnvironment: { [text]: 1 },
    mapping: { [text]: null },
  }
  return htmlReport(summary, {
    assets: [assessed],
    hubs: [assessed],
    rejected: [{ row: 2, reason: text, raw: text }],
  })
}

/** The tags of a page, without what stands between them. */
const tagsOf = (html: string) => html.match(/<[^>]*>/g) ?? []

describe('the report as a page', () => {
  it('has the same tags whatever the file says', () => {
    const tags = tagsOf(page('plain'))
    const nasty = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.constantFrom(
        '<script>alert(1)</script>',
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='x",
        '</style><script>',
        '&lt;b&gt;',
        '<!--',
        ']]>',
        '</td></tr></table>',
      ),
    )
    fc.assert(
      fc.property(nasty, (text) => {
        expect(tagsOf(page(text))).toEqual(tags)
      }),
    )
  })

  it('needs nothing from elsewhere and runs nothing', () => {
    const html = page('plain')
    expect(html).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|https?:/i)
    expect(html).toContain('@media print')
    expect(html).toContain('prefers-color-scheme:dark')
  })

  it('escapes every character that could end a text or an attribute', () => {
    expect(escapeHtml(`<a href="x" title='y'>&`)).toBe('&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;')
  })
})

describe('the report as CSV', () => {
  it.each([
    '=1+1',
    '+1+1',
    '-1+1',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    ' =1',
    '\n@x',
    '|calc',
    '%0a',
    '＝1+1',
    '-2.5.1',
  ])('keeps %j from being a formula', (text) => {
    const [[field = ''] = []]: string[][] = parse(csvLine([text]), { relax_column_count: true })
    expect(field).toBe(`'${text}`)
  })

  it('leaves numbers and plain text as they are', () => {
    expect([-5, 2.5, 'srv-1', null, ['a', 'b']].map(csvField)).toEqual(['-5', '2.5', 'srv-1', '', '"a; b"'])
  })

  it('reads back as what was written, and no field begins like a formula', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'binary', maxLength: 30 }), { minLength: 2, maxLength: 6 }),
        (values) => {
          const [fields = []]: string[][] = parse(csvLine(values))
          expect(fields.map((field, i) => (field === values[i] ? field : field.slice(1)))).toEqual(values)
          for (const field of fields) expect(field).not.toMatch(/^\s*[=+@]|^\s*-(?!\d+([.,]\d+)?$)/)
        },
      ),
    )
  })
})
