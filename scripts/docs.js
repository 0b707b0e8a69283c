// Writes the pages of docs/ that are made from tables of the source. With --check: fails if one is not up to date.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OPTIONS } from '../dist/src/config.js'
import { aclRules } from '../dist/src/redis/acl.js'
import { CELERY_KEYS, KEYS, NOT_WRITTEN } from '../dist/src/redis/key-table.js'
import { patternOf } from '../dist/src/redis/keys.js'

const options = Object.values(OPTIONS).map(({ env, kind, fallback, unit, choices, min, max, says }) => {
  const type = choices ? choices.map((choice) => `\`${choice}\``).join(' ') : kind
  const range = min === undefined ? '' : ` ${min}–${max}`
  return `| \`${env}\` | ${type}${range}${unit ? ` ${unit}` : ''} | ${fallback === '' ? '–' : `\`${fallback}\``} | ${says} |`
})

const configuration = `# Configuration

Everything is set by environment variables. An unknown \`SPILLWAY_*\` name or a bad value stops the start with one line that
names it. \`spillway config\` shows every option, its value and where it came from.

| variable | type | default | says |
|---|---|---|---|
${options.join('\n')}
`

/** In lines that a page can show. */
const wrapped = (words) =>
  words
    .reduce((lines, word) => {
      const last = lines.at(-1)
      if (last !== undefined && last.length + word.length < 116) lines[lines.length - 1] = `${last} ${word}`
      else lines.push(word)
      return lines
    }, [])
    .join('\n')

const code = (texts) => (texts.length === 0 ? '–' : texts.map((text) => `\`${text}\``).join(' '))
const row = (...cells) => `| ${cells.join(' | ')} |`

const keys = `# Keys in Redis

Nothing writes a key that is not listed here. Segments are percent-encoded outside \`[A-Za-z0-9._-]\`, so two things never share a
key and no tenant's prefix matches another's. What stands in braces decides the slot on a Cluster: all keys of a flow lie
together; locks and limits share 64 buckets, each with the marker of the term beside it.

| key | in the guide | type | goes away after | written by | on PostgreSQL | says |
|---|---|---|---|---|---|---|
${Object.entries(KEYS)
  .map(([name, { guide, type, life, owner, postgres, says }]) =>
    row(code([patternOf(name)]), code(guide), type, life, owner, postgres, says),
  )
  .join('\n')}

## Celery's

They keep Celery's names, because Python workers use them too.

| key | in the guide | type | on PostgreSQL | says |
|---|---|---|---|---|
${CELERY_KEYS.map(({ pattern, guide, type, postgres, says }) => row(code([pattern]), code(guide), type, postgres, says)).join('\n')}

## A user of its own

One line in \`redis.conf\` or the ACL file, for a user that may do what Spillway does, and no more. Redis below 7 has no sharded
channels: leave \`+spublish\`, \`+ssubscribe\` and \`+sunsubscribe\` out there. Celery's keys are not in it.

\`\`\`
${wrapped(['user spillway on >password', ...aclRules()])}
\`\`\`

## In the guide, not written

| in the guide | instead |
|---|---|
${[...NOT_WRITTEN].map(([guide, instead]) => row(code([guide]), instead)).join('\n')}
`

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), 'docs')
for (const [name, text] of Object.entries({ 'configuration.md': configuration, 'keys.md': keys })) {
  const path = join(folder, name)
  if (!process.argv.includes('--check')) writeFileSync(path, text)
  else if (readFileSync(path, 'utf8') !== text) {
    process.stderr.write(`docs/${name} is not what the source says: run node scripts/docs.js\n`)
    process.exit(1)
  }
}
