// `npm run check`: everything that can be told without running the code. One line a step; a step that fails
// shows what it said, the others go on.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(join(root, 'package.json'))

/** The script behind a package's command. */
function command(name, bin = name) {
  const folder = join(root, 'node_modules', name)
  const { bin: bins } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return join(folder, typeof bins === 'string' ? bins : bins[bin])
}

const tsc = require.resolve('typescript/bin/tsc')
const folders = ['src', 'client', 'dashboard', 'examples', 'bench', 'test'].filter((name) =>
  existsSync(join(root, name)),
)

const steps = [
  [
    'format and lint',
    [command('@biomejs/biome', 'biome'), 'check', '--error-on-warnings', '--max-diagnostics=20'],
  ],
  ['types', [tsc, '--build']],
  ['types of the tests', [tsc, '-p', 'test', '--noEmit']],
  ...(existsSync(join(root, 'dashboard/index.html'))
    ? [['types of the page', [tsc, '-p', 'dashboard', '--noEmit']]]
    : []),
  [
    'arrows and circles',
    [command('dependency-cruiser', 'depcruise'), '--output-type', 'err-long', ...folders],
  ],
  ['dead exports', [command('knip'), '--no-progress']],
  ['public API', ['scripts/api-report.js']],
  ['configuration docs', ['scripts/docs.js', '--check']],
]

let failed = 0
for (const [name, args] of steps) {
  const started = performance.now()
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)\n`)
  if (status === 0) continue
  failed += 1
  process.stdout.write(`${stdout}${stderr}\n`)
}
process.exitCode = failed === 0 ? 0 : 1
