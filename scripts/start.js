// `npm start`: builds what is missing or older than its sources, then serves the demo.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const SOURCES = [
  'src',
  'client',
  'examples',
  'dashboard',
  'scripts/build.js',
  'package.json',
  'tsconfig.base.json',
]
/** Written last by each part of the build. */
const BUILT = ['dist/src/cli/main.js', 'dist/examples/discovery/index.js', 'dist/dashboard/index.html']

function newest(path) {
  const found = statSync(path)
  if (!found.isDirectory()) return found.mtimeMs
  return Math.max(0, ...readdirSync(path).map((entry) => newest(join(path, entry))))
}

function isStale() {
  const built = BUILT.map((path) => join(root, path))
  if (!built.every(existsSync)) return true
  const stamp = join(root, 'dist/.built')
  if (!existsSync(stamp)) return true
  const since = statSync(stamp).mtimeMs
  return SOURCES.some((path) => newest(join(root, path)) > since)
}

if (isStale()) {
  process.stdout.write('Building Spillway\n')
  const { status } = spawnSync(process.execPath, [join(root, 'scripts/build.js')], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
}

// In this process, so that signals reach it once and nothing stands between.
process.argv.splice(2, 0, 'demo', '--serve')
await import('../bin/spillway.js')
