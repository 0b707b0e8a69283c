import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { RULES } from '../../examples/discovery/analysis/rules.js'

it('the page about the example names every rule with its points', async () => {
  const text = await readFile(new URL('../../examples/discovery/README.md', import.meta.url), 'utf8')
  const rows = RULES.map(({ id, when, points }) => {
    const given = Object.entries(points).map(([name, value]) => `${name} ${value > 0 ? '+' : ''}${value}`)
    return `| \`${id}\` | ${when} | ${given.join(', ')} |`
  })
  expect(text).toContain(rows.join('\n'))
})
