// Writes docs/configuration.md from the table of options. With --check: fails if it is not up to date.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OPTIONS } from '../dist/src/config.js'

const path = join(dirname(dirname(fileURLToPath(import.meta.url))), 'docs/configuration.md')

const rows = Object.values(OPTIONS).map(({ env, kind, fallback, unit, choices, min, max, says }) => {
  const type = choices ? choices.map((choice) => `\`${choice}\``).join(' ') : kind
  const range = min === undefined ? '' : ` ${min}–${max}`
  return `| \`${env}\` | ${type}${range}${unit ? ` ${unit}` : ''} | ${fallback === '' ? '–' : `\`${fallback}\``} | ${says} |`
})

const text = `# Configuration

Everything is set by environment variables. An unknown \`SPILLWAY_*\` name or a bad value stops the start with one line that
names it. \`spillway config\` shows every option, its value and where it came from.

| variable | type | default | says |
|---|---|---|---|
${rows.join('\n')}
`

if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (readFileSync(path, 'utf8') !== text) {
  process.stderr.write('docs/configuration.md is not what the options say: run node scripts/docs.js\n')
  process.exit(1)
}
