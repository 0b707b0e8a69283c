import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** A small repository of the same layout: what each file imports, and the rule that must say no, if any. */
const FILES: readonly (readonly [file: string, imports: string, rule?: string])[] = [
  ['src/errors.ts', ''],
  ['src/tenant.ts', "import '../src/postgres/client.js'", 'arrows-ground'],
  ['src/config.ts', "import './errors.js'"],
  ['src/stray.ts', ''],
  ['src/postgres/client.ts', "import pg from 'pg'; import '../errors.js'; void pg"],
  ['src/postgres/up.ts', "import '../events/log.js'", 'arrows-stores'],
  ['src/redis/client.ts', "import 'ioredis'"],
  [
    'src/events/log.ts',
    "import type { a } from './ring.js'; import '../postgres/client.js'; export type b = a",
    'no-circles',
  ],
  ['src/events/ring.ts', "import type { b } from './log.js'; export type a = b"],
  ['src/events/sql.ts', "import 'pg'", 'only-postgres-speaks-to-its-store'],
  ['src/events/lite.ts', "import '@electric-sql/pglite'", 'only-postgres-speaks-to-its-store'],
  ['src/events/hot.ts', "import 'ioredis'", 'only-redis-speaks-to-its-store'],
  ['src/events/web.ts', "import '../http/server.js'", 'arrows-capabilities'],
  ['src/events/all.ts', "import '../spillway.js'", 'arrows-capabilities'],
  ['src/events/odd.ts', "import '../stray.js'", 'arrows-known-files'],
  ['src/events/none.ts', "import './nowhere.js'", 'resolvable'],
  ['src/events/test.ts', "import 'vitest'", 'declared-dependencies'],
  ['src/events/page.ts', "import '../../client/index.js'", 'src-stands-alone'],
  ['src/spillway.ts', "import './events/log.js'; import './cli/main.js'", 'arrows-assembly'],
  ['src/http/server.ts', "import '../errors.js'; import 'node:http'"],
  ['src/http/command.ts', "import '../cli/main.js'", 'arrows-surfaces'],
  ['src/cli/main.ts', "import '../http/server.js'"],
  ['client/index.ts', ''],
  ['client/lib.ts', "import '../src/errors.js'", 'client-stands-alone'],
  ['client/npm.ts', "import 'pino'", 'client-stands-alone'],
  ['dashboard/main.ts', "import '../client/index.js'; import 'preact'"],
  ['dashboard/deep.ts', "import '../src/errors.js'", 'dashboard-uses-the-client'],
  ['examples/one/index.ts', "import 'spillway'; import 'spillway/client'; import 'csv-parse'"],
  ['examples/one/deep.ts', "import '../../src/errors.js'", 'examples-use-the-public-api'],
  ['examples/one/built.ts', "import '../../dist/src/errors.js'", 'examples-use-the-public-api'],
]

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'spillway-arrows-'))
  for (const file of ['package.json', 'tsconfig.base.json', '.dependency-cruiser.cjs']) {
    cpSync(join(ROOT, file), join(folder, file))
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const built = ['dist/src/index', 'dist/client/index', 'dist/src/errors'].map(
    (file) => [`${file}.js`, ''] as const,
  )
  for (const [file, imports] of [...FILES, ...built]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), `${imports}\nexport {}\n`)
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('lets no import go against the arrows, and no other one be refused', () => {
  const cruiser = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
  const { stdout } = spawnSync(
    process.execPath,
    [cruiser, '--output-type', 'json', 'src', 'client', 'dashboard', 'examples'],
    { cwd: folder, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  const { summary }: { summary: { violations: { from: string; rule: { name: string } }[] } } =
    JSON.parse(stdout)
  const found = new Map<string, Set<string>>()
  for (const { from, rule } of summary.violations) {
    found.set(from, (found.get(from) ?? new Set()).add(rule.name))
  }
  const missed = FILES.filter(([file, , rule]) => rule !== undefined && !found.get(file)?.has(rule))
  expect(missed).toEqual([])
  const clean = FILES.filter(([, , rule]) => rule === undefined).map(([file]) => file)
  // ioredis may not be installed, which is a violation of its own.
  const wronged = clean.filter((file) => found.has(file) && file !== 'src/redis/client.ts')
  expect(wronged.map((file) => [file, [...(found.get(file) ?? [])]])).toEqual([])
})
