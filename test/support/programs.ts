import { spawnSync } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { installInDocker } from './docker.js'

type Installer = 'apt-get' | 'apk' | 'dnf' | 'brew'

interface Program {
  /** Names of the executable, the first found wins. */
  readonly names: readonly string[]
  /** Further executables that the tests start, beside the first. */
  readonly beside?: readonly string[]
  readonly folders: readonly string[]
  readonly packages: Readonly<Record<Installer, string>>
}

const BREW = ['/opt/homebrew', '/usr/local', '/home/linuxbrew/.linuxbrew']

/** The servers and the browser that the tests run for real. */
const PROGRAMS = {
  postgres: {
    names: ['postgres'],
    beside: ['initdb'],
    folders: [],
    packages: {
      'apt-get': 'postgresql',
      apk: 'postgresql',
      dnf: 'postgresql-server',
      brew: 'postgresql@17',
    },
  },
  pgbouncer: {
    names: ['pgbouncer'],
    folders: ['/usr/sbin', ...BREW.map((brew) => `${brew}/opt/pgbouncer/bin`)],
    packages: { 'apt-get': 'pgbouncer', apk: 'pgbouncer', dnf: 'pgbouncer', brew: 'pgbouncer' },
  },
  nginx: {
    names: ['nginx'],
    folders: ['/usr/sbin', ...BREW.map((brew) => `${brew}/opt/nginx/bin`)],
    packages: { 'apt-get': 'nginx-light', apk: 'nginx', dnf: 'nginx', brew: 'nginx' },
  },
  chromium: {
    names: [
      'chromium',
      'chromium-browser',
      'google-chrome',
      'google-chrome-stable',
      'Chromium',
      'Google Chrome',
    ],
    folders: ['/Applications/Chromium.app/Contents/MacOS', '/Applications/Google Chrome.app/Contents/MacOS'],
    packages: { 'apt-get': 'chromium', apk: 'chromium', dnf: 'chromium', brew: '--cask chromium' },
  },
  redis: {
    names: ['redis-server', 'valkey-server'],
    folders: BREW.flatMap((brew) => [`${brew}/opt/redis/bin`, `${brew}/opt/valkey/bin`]),
    packages: { 'apt-get': 'redis-server', apk: 'redis', dnf: 'valkey', brew: 'redis' },
  },
  openssl: {
    names: ['openssl'],
    folders: BREW.map((brew) => `${brew}/opt/openssl/bin`),
    packages: { 'apt-get': 'openssl', apk: 'openssl', dnf: 'openssl', brew: 'openssl' },
  },
} as const satisfies Record<string, Program>

export type ProgramName = keyof typeof PROGRAMS

/** Path of a program's executable; undefined if it is not on this machine. */
function findProgram(name: ProgramName): string | undefined {
  const { names, folders }: Program = PROGRAMS[name]
  const all = [...(process.env.PATH ?? '').split(delimiter), ...folders]
  if (name === 'postgres') all.push(...postgresFolders())
  for (const folder of all) {
    for (const file of names) {
      const path = join(folder, file)
      if (folder !== '' && executable(path)) return path
    }
  }
  return undefined
}

/** Where programs may come from; each is asked only for what the ones before it could not give. */
export interface Sources {
  find(name: ProgramName): string | undefined
  readonly installers: readonly ((missing: readonly ProgramName[]) => void)[]
}

/**
 * Paths of these programs: found, else installed with the system's package manager where this user may, else run
 * in Docker. Errors: one line that says what to install.
 */
export function requirePrograms(
  names: readonly ProgramName[],
  { find, installers }: Sources = { find: findProgram, installers: [install, runInDocker] },
): Record<ProgramName, string> {
  let missing = names.filter((name) => find(name) === undefined)
  for (const give of installers) {
    if (missing.length === 0) break
    give(missing)
    missing = missing.filter((name) => find(name) === undefined)
  }
  if (missing.length > 0)
    throw new Error(`The tests need ${missing.join(', ')}: ${advice(missing)}, or Docker`)
  return Object.fromEntries(names.map((name) => [name, find(name)])) as Record<ProgramName, string>
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function postgresFolders(): string[] {
  const asked = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' })
  const versions = (folder: string, pattern: RegExp, bin: string) => {
    try {
      return readdirSync(folder)
        .filter((entry) => pattern.test(entry))
        .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
        .map((entry) => join(folder, entry, bin))
    } catch {
      return []
    }
  }
  return [
    ...(asked.status === 0 ? [asked.stdout.trim()] : []),
    ...versions('/usr/lib/postgresql', /^\d+$/, 'bin'),
    ...versions('/usr/libexec', /^postgresql\d+$/, ''),
    ...versions('/usr', /^pgsql-\d+$/, 'bin'),
    ...BREW.flatMap((brew) => versions(`${brew}/opt`, /^postgresql(@\d+)?$/, 'bin')),
  ]
}

function installer(): { name: Installer; prefix: readonly string[] } | undefined {
  const has = (name: string) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0
  const root = process.getuid?.() === 0
  if (!root && has('brew')) return { name: 'brew', prefix: [] }
  const name = (['apt-get', 'apk', 'dnf'] as const).find(has)
  if (name === undefined) return undefined
  if (root) return { name, prefix: [] }
  const sudo = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0
  return sudo ? { name, prefix: ['sudo', '-n'] } : undefined
}

function install(missing: readonly ProgramName[]): void {
  const tool = installer()
  if (tool === undefined) return
  const packages = missing.flatMap((name) => PROGRAMS[name].packages[tool.name].split(' '))
  process.stderr.write(`Installing ${packages.join(' ')} with ${tool.name}, for the tests\n`)
  const verbs = {
    'apt-get': [
      ['update', '-q'],
      ['install', '-y', '-q', '--no-install-recommends', ...packages],
    ],
    apk: [['add', '--no-cache', ...packages]],
    dnf: [['install', '-y', '-q', ...packages]],
    brew: [['install', ...packages]],
  }[tool.name]
  for (const args of verbs) {
    const [command = tool.name, ...rest] = [...tool.prefix, tool.name, ...args]
    // RUNLEVEL=1 keeps Debian from starting the installed servers on their standard ports.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    spawnSync(command, rest, { stdio: ['ignore', 'inherit', 'inherit'], env })
  }
}

export function runInDocker(missing: readonly ProgramName[]): void {
  const packages = missing.map((name) => PROGRAMS[name].packages['apt-get'])
  installInDocker(
    packages,
    missing.flatMap((name) => {
      const { names, beside = [] }: Program = PROGRAMS[name]
      return [names[0] ?? name, ...beside]
    }),
  )
}

function advice(names: readonly ProgramName[]): string {
  const packages = (tool: Installer) => names.map((name) => PROGRAMS[name].packages[tool]).join(' ')
  if (process.platform === 'darwin') return `run \`brew install ${packages('brew')}\``
  return `run \`apt-get install ${packages('apt-get')}\` as root, or what your system has for it`
}
