import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from './chromium.js'
import { eventually } from './eventually.js'
import { startNginx } from './nginx.js'
import { startPgBouncer } from './pgbouncer.js'
import { startPostgres } from './postgres.js'
import { freePort } from './processes.js'
import { type ProgramName, requirePrograms, runInDocker } from './programs.js'
import { startRedis } from './redis.js'

const NAMES = ['postgres', 'pgbouncer', 'nginx', 'chromium', 'redis'] as const
const DEBIAN = ['postgresql', 'pgbouncer', 'nginx-light', 'chromium', 'redis-server']

interface Asked {
  readonly args: readonly string[]
  readonly input?: string
}

const before = { ...process.env }
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'spillway-stand-in-'))
  chmodSync(folder, 0o777)
  const real = requirePrograms(NAMES)
  symlinkSync(fileURLToPath(new URL('./docker-stand-in.js', import.meta.url)), join(folder, 'docker'))
  Object.assign(process.env, {
    PATH: [folder, process.env.PATH].join(delimiter),
    STAND_IN: folder,
    STAND_IN_PROGRAMS: JSON.stringify({
      ...real,
      initdb: join(dirname(real.postgres), 'initdb'),
      'redis-server': real.redis,
    }),
  })
  runInDocker(NAMES)
})
afterAll(() => {
  process.env.PATH = before.PATH
  rmSync(folder, { recursive: true, force: true })
})

const asked = () =>
  readFileSync(join(folder, 'asked'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line): Asked => JSON.parse(line))
const runs = () => asked().filter(({ args }) => args[0] === 'run')
/** Containers that are there now. */
const containers = () => readdirSync(folder).filter((name) => /^spillway-tests-\d+$/.test(name))

describe('programs that run in Docker', () => {
  it('come from one image of Debian’s packages, which is made once', () => {
    const [version, inspect, build] = asked()
    expect(version?.args).toEqual(['version'])
    const image = inspect?.args[2] ?? ''
    expect(image).toMatch(/^spillway-tests:[0-9a-f]{16}$/)
    expect(inspect?.args).toEqual(['image', 'inspect', image])
    expect(build?.args).toEqual(['build', '--tag', image, '-'])
    expect(build?.input).toMatch(/^FROM debian:bookworm-slim\n/)
    expect(build?.input).toContain(`--no-install-recommends ${DEBIAN.join(' ')} \\\n`)

    const found = requirePrograms(NAMES)
    expect(new Set(Object.values(found).map(dirname)).size).toBe(1)
    expect(found.redis).toContain('spillway-tests-docker-')
    runInDocker(NAMES)
    expect(asked().map(({ args }) => args[0])).toEqual(['version', 'image', 'build', 'version', 'image'])
    expect(requirePrograms(NAMES).redis).not.toBe(found.redis)
  })

  it('run on this machine’s network and files, as the user that they would run as here', async () => {
    const redis = await startRedis()
    try {
      expect(await redis.ask('SET', 'a', '1')).toBe('OK')
      const { args } = runs().at(-1) ?? { args: [] }
      const user = process.getuid?.() === 0 ? '/' : `${process.getuid?.()}:${process.getgid?.()}`
      expect(args).toEqual([
        'run',
        '--rm',
        '--network',
        'host',
        '--name',
        expect.stringMatching(/^spillway-tests-\d+$/),
        '--user',
        user === '/' ? expect.not.stringMatching(/^0:/) : user,
        '--volume',
        `${tmpdir()}:${tmpdir()}`,
        '--volume',
        '/etc/passwd:/etc/passwd:ro',
        '--workdir',
        redis.folder,
        '--env',
        'HOME=/tmp',
        expect.stringMatching(/^spillway-tests:[0-9a-f]{16}$/),
        'redis-server',
        join(redis.folder, 'redis.conf'),
      ])
      expect(containers()).toEqual([args[5]])
    } finally {
      await redis.remove()
    }
    expect(containers()).toEqual([])
    expect(existsSync(redis.folder)).toBe(false)
  })

  it('can be killed, stopped and frozen like any other: Redis', async () => {
    const redis = await startRedis({ appendfsync: 'always' })
    try {
      await redis.ask('SET', 'a', '1')
      await redis.kill()
      await expect(redis.ask('PING')).rejects.toThrow('ECONNREFUSED')
      expect(containers()).toEqual([])
      await redis.start()
      expect(await redis.ask('GET', 'a')).toBe('1')
      redis.freeze()
      const answer = redis.ask('GET', 'a')
      const first = await Promise.race([answer, eventually(() => asked().at(-1)?.args.includes('SIGSTOP'))])
      expect(first).toBe(true)
      redis.thaw()
      expect(await answer).toBe('1')
      await redis.stop()
      await redis.start('empty')
      expect(await redis.ask('GET', 'a')).toBe(null)
    } finally {
      await redis.remove()
    }
  })

  it('can be killed and stopped like any other: PostgreSQL, with PgBouncer before it', async () => {
    const server = await startPostgres()
    try {
      const { url } = await server.database()
      await ask(url, 'CREATE TABLE kept AS SELECT 1 AS one')
      await server.kill()
      await expect(ask(url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED')
      await server.start()
      const pooler = await startPgBouncer(url)
      expect(await ask(pooler.url, 'SELECT one FROM kept')).toEqual([{ one: 1 }])
      expect(containers()).toHaveLength(2)
      await pooler.remove()
    } finally {
      await server.remove()
    }
    expect(containers()).toEqual([])
  })

  it('can be driven over pipes, and reached through another: Chromium and nginx', async () => {
    const nginx = await startNginx([`127.0.0.1:${await freePort()}`])
    try {
      const browser = await launchChromium()
      const page = await browser.newPage()
      const answer = await page.goto(nginx.url)
      expect(answer?.status()).toBe(502)
      expect(await page.textContent('h1')).toBe('502 Bad Gateway')
      expect(containers()).toHaveLength(2)
      await browser.close()
    } finally {
      await nginx.remove()
    }
    await eventually(() => containers().length === 0, { what: 'the end of the browser' })
  })

  it('end with the process of the tests, however that ends', async () => {
    const support = new URL('../../dist/test/support/redis.js', import.meta.url)
    const script = `import { startRedis } from '${support}'
      console.log((await startRedis()).folder)
      setInterval(() => {}, 1000)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script])
    const [line] = await once(parent.stdout, 'data')
    const [container = ''] = containers()
    const pid = Number(readFileSync(join(folder, container), 'utf8'))
    parent.kill('SIGKILL')
    await eventually(() => !existsSync(String(line).trim()) && !alive(pid), { what: 'the end of its Redis' })
  })
})

describe('what the tests need', () => {
  /** A machine that has some programs, and on which each way of getting more gives some. */
  const machine = (has: readonly ProgramName[], ...gives: (readonly ProgramName[])[]) => {
    const there = new Set(has)
    const wanted: (readonly ProgramName[])[] = []
    const installers = gives.map((given) => (missing: readonly ProgramName[]) => {
      wanted.push(missing)
      for (const name of given) there.add(name)
    })
    const sources = { find: (name: ProgramName) => (there.has(name) ? `/${name}` : undefined), installers }
    return { wanted, need: (...names: ProgramName[]) => requirePrograms(names, sources) }
  }

  it('is taken as it is found', () => {
    const { wanted, need } = machine(['redis', 'postgres'], [])
    expect(need('redis', 'postgres')).toEqual({ redis: '/redis', postgres: '/postgres' })
    expect(wanted).toEqual([])
  })

  it('is else installed, and only what that does not give is asked of Docker', () => {
    const { wanted, need } = machine(['nginx'], ['redis'], ['postgres'])
    expect(need('nginx', 'redis', 'postgres')).toMatchObject({ postgres: '/postgres' })
    expect(wanted).toEqual([['redis', 'postgres'], ['postgres']])
  })

  it('is else named in one line', () => {
    const { need } = machine([], ['redis'], [])
    expect(() => need('redis', 'postgres', 'nginx')).toThrow(
      /^The tests need postgres, nginx: run `.*install postgresql.* nginx.*Docker$/,
    )
  })
})

async function ask(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
