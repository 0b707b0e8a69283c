// Builds dist/: library, client and examples with tsc, the SQL and Lua beside them, the dashboard with Vite.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)

function run(script, args) {
  const { status } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

run(require.resolve('typescript/bin/tsc'), ['--build'])
cpSync(join(root, 'src/postgres/migrations'), join(root, 'dist/src/postgres/migrations'), { recursive: true })
for (const file of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
  if (file.endsWith('.lua')) cpSync(join(root, 'src', file), join(root, 'dist/src', file))
}
if (existsSync(join(root, 'dashboard/index.html'))) {
  const vite = join(dirname(require.resolve('vite/package.json')), 'bin/vite.js')
  run(vite, ['build', 'dashboard', '--logLevel', 'warn'])
}
// When everything was built: `npm start` compares the sources with it.
writeFileSync(join(root, 'dist/.built'), '')
