import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const run = promisify(execFile)

/** Behind each piece of code on the page, in its order: what it is asked, and what it shall say. */
const QUESTIONS = [
  {
    before: 'const work = async () => undefined',
    behind: `const again = await limits.take([{ name: 'exports', max: 5, perMs: 30_000, algorithm: 'concurrency', cost: 0 }])
      say([verdict.allowed, verdict.remaining, again.remaining])`,
    says: [true, 4, 5],
  },
  {
    before: '',
    behind: `const url = await app.listen({ port: 0, host: '127.0.0.1' })
      const answers = await Promise.all(['report', 'export', 'health'].map((path) => fetch(url + '/' + path)))
      say(answers.map((one) => one.headers.get('ratelimit-policy')))
      await app.close()`,
    says: ['"ip:127.0.0.1";q=100;w=60', '"exports";q=2;qu="concurrent-requests"', null],
  },
  {
    before: '',
    behind: `const server = app.listen(0, '127.0.0.1', async () => {
        const answer = await fetch('http://127.0.0.1:' + server.address().port)
        say([answer.status, answer.headers.get('ratelimit').includes('r=99')])
      })`,
    says: [200, true],
  },
]

describe('the page about limits', () => {
  let database: FreshDatabase
  beforeAll(async () => {
    database = await freshDatabase()
  })
  afterAll(() => database.drop())

  it('has code that runs as it stands', async () => {
    const page = await readFile(new URL('../../docs/limits.md', import.meta.url), 'utf8')
    const pieces = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code ?? '')
    expect(pieces).toHaveLength(QUESTIONS.length)
    const said = await Promise.all(
      pieces.map(async (code, i) => {
        const { before, behind } = QUESTIONS[i] as (typeof QUESTIONS)[number]
        const say =
          'const say = (what) => { console.log(JSON.stringify(what)); setTimeout(process.exit, 100) }'
        const program = [before, code, say, behind].join('\n')
        const env = { ...process.env, DATABASE_URL: database.url, REDIS_URL: '' }
        const words = ['--input-type=module', '-e', program]
        const { stdout } = await run(process.execPath, words, { cwd: ROOT, env })
        return JSON.parse(stdout)
      }),
    )
    expect(said).toEqual(QUESTIONS.map(({ says }) => says))
  })
})
