import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OPTIONS } from '../../src/config.js'
import { emptyDatabase } from '../support/database.js'
import { embeddedFolder } from '../support/embedded.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type Command, run } from './running.js'

describe('usage', () => {
  const commands = [
    'serve',
    'demo',
    'migrate',
    'config',
    'flow list',
    'flow history',
    'flow tail',
    'flow state',
    'key create',
    'key list',
    'key revoke',
    'limit show',
    'limit reset',
    'lock list',
    'lock break',
  ]

  it('every command says how it is used, with an example', async () => {
    const texts = await Promise.all(commands.map((command) => run([...command.split(' '), '--help']).ended))
    for (const { code, out, err } of texts) {
      expect([code, err]).toEqual([0, ''])
      expect(out).toMatch(/Examples?:\n {2}.*spillway /)
      expect(out).toContain('--json')
    }
    const { code, out } = await run(['--help']).ended
    expect(code).toBe(0)
    for (const name of ['serve', 'demo', 'migrate', 'flow', 'key', 'lock', 'config'])
      expect(out).toContain(name)
  })

  it.each([
    [[]],
    [['unheard-of']],
    [['flow']],
    [['flow', 'history']],
    [['flow', 'history', 'a', '--last', '0']],
    [['flow', 'history', 'a', '--unheard-of']],
    [['flow', 'list', '--status', 'happy']],
    [['limit', 'reset']],
    [['key', 'create']],
    [['lock', 'break']],
    [['key', 'create', '--scope', 'everything']],
    [['serve', '--port', '99999']],
  ])('wrong usage ends with 2: %j', async (args) => {
    const { code, out, err } = await run(args).ended
    expect([code, out]).toEqual([2, ''])
    expect(err).not.toBe('')
  })

  it.each([
    [{ SPILLWAY_PROT: '1' }, 'SPILLWAY_PROT'],
    [{ SPILLWAY_PORT: 'x' }, 'SPILLWAY_PORT'],
    [{ SPILLWAY_HOST: '0.0.0.0' }, 'SPILLWAY_AUTH'],
    [{ SPILLWAY_AUTH: 'some' }, 'SPILLWAY_AUTH'],
  ])('a bad configuration stops the start with one line: %j', async (env, named) => {
    const { code, out, err } = await run(['serve'], env).ended
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/^spillway: .*\n$/)
    expect(err).toContain(named)
  })

  it('errors are JSON where that is asked for', async () => {
    const { code, err } = await run(['config', '--json'], { SPILLWAY_PORT: 'x' }).ended
    expect([code, JSON.parse(err).code]).toEqual([1, 'CONFIG_INVALID'])
  })

  it('shows every option, where its value is from, and no secret', async () => {
    const env = { SPILLWAY_PORT: '8080', DATABASE_URL: 'postgres://user:hush@db/app' }
    const { code, out } = await run(['config', '--json'], env).ended
    expect(code).toBe(0)
    const rows: { name: string; env: string; value: string; from: string }[] = JSON.parse(out)
    expect(rows.map(({ name }) => name)).toEqual(Object.keys(OPTIONS))
    expect(rows).toContainEqual(
      expect.objectContaining({ env: 'SPILLWAY_PORT', value: '8080', from: 'environment' }),
    )
    expect(rows).toContainEqual(
      expect.objectContaining({ env: 'SPILLWAY_HOST', value: '127.0.0.1', from: 'default' }),
    )
    expect(out).not.toContain('hush')
  })
})

describe('beside a server that holds the embedded store', () => {
  let dataDir: string
  let env: Record<string, string>
  let server: Command
  let url: string
  beforeAll(async () => {
    dataDir = await embeddedFolder()
    env = {
      SPILLWAY_DATA_DIR: dataDir,
      SPILLWAY_PORT: '0',
      SPILLWAY_AUTH: 'keys',
      SPILLWAY_LOG_LEVEL: 'error',
    }
    server = run(['serve'], env)
    await server.until(/\n/)
    url = /http:\/\/127\.0\.0\.1:\d+/.exec(server.said())?.[0] ?? ''
  })
  afterAll(async () => {
    server.signal('SIGKILL')
    await server.ended
    await rm(dataDir, { recursive: true, force: true })
  })

  const cli = async (...args: string[]) => {
    const { code, out, err } = await run(args, env).ended
    return { code, out: out.trimEnd(), err }
  }

  it('says in one line where it is and on what', () => {
    expect(server.said()).toBe(
      `Spillway listens on ${url} (mode embedded, store PGlite in ${dataDir}, auth keys)\n`,
    )
  })

  it('keys are made, listed and revoked through it, and flows are looked at', async () => {
    const { code, out: key } = await cli(
      'key',
      'create',
      '--tenant',
      'acme',
      '--scope',
      'publish,subscribe',
      '--name',
      'test',
    )
    expect([code, key]).toEqual([0, expect.stringMatching(/^spw_[0-9a-f]{16}_[\w-]{43}$/)])
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const publish = async (n: number) =>
      fetch(`${url}/v1/flows/f/events`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ type: 'tick', payload: { n } }),
      })
    expect((await publish(1)).status).toBe(201)
    const state = { status: 'running', progress_percentage: 5 }
    await fetch(`${url}/v1/flows/f/state`, { method: 'PUT', headers, body: JSON.stringify(state) })

    const history = await cli('flow', 'history', 'f', '--tenant', 'acme', '--json')
    expect([history.code, JSON.parse(history.out)]).toEqual([
      0,
      expect.objectContaining({ id: '1-1', payload: { n: 1 } }),
    ])
    expect((await cli('flow', 'history', 'f', '--tenant', 'acme', '--last', '1')).out).toMatch(
      /1-1 {2}tick {2}system {2}\{"n":1\}$/,
    )
    expect(JSON.parse((await cli('flow', 'state', 'f', '--tenant', 'acme')).out)).toEqual(state)
    expect(JSON.parse((await cli('flow', 'list', '--tenant', 'acme', '--json')).out)).toMatchObject([
      { flow: 'f', status: 'running' },
    ])
    expect((await cli('flow', 'list', '--tenant', 'ä 日本')).out).toContain('no such flows')
    const none = await cli('flow', 'state', 'f')
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('has no state')])

    const tail = run(['flow', 'tail', 'f', '--tenant', 'acme', '--after', '0', '--json'], env)
    await tail.until(/"n":1/)
    await publish(2)
    await tail.until(/"n":2/)
    tail.signal('SIGINT')
    const { code: tailed, out: lines } = await tail.ended
    expect([
      tailed,
      lines
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).id),
    ]).toEqual([0, ['1-1', '1-2']])

    const [listed] = JSON.parse((await cli('key', 'list', '--tenant', 'acme', '--json')).out)
    expect(listed).toMatchObject({
      tenant: 'acme',
      name: 'test',
      scopes: ['publish', 'subscribe'],
      revoked_at: null,
    })
    expect((await cli('key', 'revoke', listed.id, '--tenant', 'acme')).out).toBe(
      `Key ${listed.id} is revoked.`,
    )
    expect((await publish(3)).status).toBe(401)
    const foreign = await cli('key', 'revoke', listed.id, '--tenant', 'other')
    expect(foreign.code).toBe(1)
  }, 90_000)

  it('locks are listed and broken through it', async () => {
    expect(await cli('lock', 'list')).toMatchObject({ code: 0, out: expect.stringContaining('No lock') })
    const key = (await cli('key', 'create', '--scope', 'locks')).out
    const acquired = await fetch(`${url}/v1/locks/flow%3Aa`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ttlMs: 60_000, holder: 'Ann' }),
    })
    expect(acquired.status).toBe(201)
    const { fence } = (await acquired.json()) as { fence: number }
    expect((await cli('lock', 'list')).out).toMatch(/^name +holder +since .*\nflow:a +Ann +\d{4}-/)
    const [held] = JSON.parse((await cli('lock', 'list', '--json')).out)
    expect(held).toMatchObject({ name: 'flow:a', holder: 'Ann', fence, waiting: 0 })
    expect(await cli('lock', 'break', 'flow:a')).toMatchObject({ code: 0 })
    expect(await cli('lock', 'list', '--json')).toMatchObject({ out: '[]' })
    expect(await cli('lock', 'break', 'flow:a')).toMatchObject({
      code: 1,
      err: expect.stringContaining('Nobody holds'),
    })
    const other = await fetch(`${url}/v1/admin/locks`, { headers: { authorization: `Bearer ${key}` } })
    expect(other.status).toBe(403)
  })

  it('limits are shown and reset through it, those that Spillway itself has put on a tenant, too', async () => {
    const key = (await cli('key', 'create', '--tenant', 'acme', '--scope', 'limits')).out
    const take = async (cost: number) => {
      const user = { name: 'user:a/b ü', max: 3, perMs: 600_000, cost }
      const jobs = { name: 'jobs', max: 50, perMs: 600_000, algorithm: 'concurrency' }
      const answer = await fetch(`${url}/v1/limits/take`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ limits: [user, jobs] }),
      })
      return answer.status
    }
    expect([await take(3), await take(1)]).toEqual([200, 429])
    const of = ['--tenant', 'acme']
    const [all, one, none] = await Promise.all([
      cli('limit', 'show', ...of, '--json'),
      cli('limit', 'show', 'user:a/b ü', ...of),
      cli('limit', 'show', 'jobs', '--tenant', 'other'),
    ])
    const rows: { name: string; used: number; max: number }[] = JSON.parse(all.out)
    const shown = rows.map(({ name, used, max }) => [name, used, max])
    expect(shown).toEqual(
      expect.arrayContaining([
        ['user:a/b ü', 3, 3],
        ['jobs', 1, 50],
        ['spillway.api', expect.any(Number), expect.any(Number)],
      ]),
    )
    expect(one.out).toMatch(
      /^name +algorithm +used +max +perMs +resetMs\nuser:a\/b ü +fixed +3 +3 +600000 +\d+$/,
    )
    expect(none).toMatchObject({
      code: 0,
      out: 'No limit of the tenant other under "jobs" has counted anything.',
    })
    const [user, own, nothing] = await Promise.all([
      cli('limit', 'reset', 'user:a/b ü', ...of),
      cli('limit', 'reset', 'spillway.api', ...of, '--json'),
      cli('limit', 'reset', 'jobs', '--tenant', 'other'),
    ])
    expect(user).toEqual({ code: 0, out: 'user:a/b ü counts from nothing again', err: '' })
    expect(JSON.parse(own.out)).toEqual({ name: 'spillway.api', reset: true })
    expect(nothing).toMatchObject({ code: 0, out: 'jobs had nothing' })
    expect(await take(3)).toBe(200)
  })

  it('a second server on the same files is refused in one line', async () => {
    const { code, err } = await cli('serve')
    expect(code).toBe(1)
    expect(err).toMatch(/^spillway: .*in use by process \d+.*\n$/)
  })

  it('ends in good order on SIGTERM, and then its files are free', async () => {
    server.signal('SIGTERM')
    expect((await server.ended).code).toBe(0)
    const history = await cli('flow', 'history', 'f', '--tenant', 'acme', '--json')
    expect([history.code, history.out.split('\n').length]).toEqual([0, 2])
  })
})

describe('on PostgreSQL', () => {
  let database: FreshDatabase
  beforeAll(async () => {
    database = await emptyDatabase()
  })
  afterAll(() => database.drop())

  it('migrates, shows what it did, and works without a server', async () => {
    const env = { DATABASE_URL: database.url }
    const first = await run(['migrate', '--json'], env).ended
    expect(first.code).toBe(0)
    expect(JSON.parse(first.out)[0]).toEqual({ number: 1, name: 'events' })
    expect((await run(['migrate'], env).ended).out).toContain('nothing to apply')

    const key = await run(['key', 'create', '--scope', 'admin', '--json'], env).ended
    expect(JSON.parse(key.out)).toMatchObject({ tenant: 'default', scopes: ['admin'] })
    expect((await run(['flow', 'history', 'nothing', '--json'], env).ended).out).toBe('')
    expect((await run(['lock', 'list', '--json'], env).ended).out).toBe('[]\n')
    const bad = await run(['flow', 'history', 'f', '--after', 'x'], env).ended
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('is not a cursor')])
  })

  it('says in one line that the database does not answer', async () => {
    const { code, err } = await run(['migrate'], { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/x' }).ended
    expect([code, err]).toEqual([1, expect.stringMatching(/^spillway: PostgreSQL is not available.*\n$/)])
  })
})

describe('the demo', () => {
  let dataDir: string
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'spillway-cli-'))
  })
  afterAll(() => rm(dataDir, { recursive: true, force: true }))

  it('says in one line that there is no such file', async () => {
    const { code, out, err } = await run(['demo', join(dataDir, 'none.csv')], { SPILLWAY_DATA_DIR: dataDir })
      .ended
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain('none.csv')
  })

  it('says first where its page is, imports a file, and goes on serving until it is stopped', async () => {
    const file = join(dataDir, 'servers.csv')
    await writeFile(file, 'name,type,ip address\nweb-1,server,10.0.0.1\ndb-1,database,10.0.0.2\n')
    const env = { SPILLWAY_DATA_DIR: dataDir, SPILLWAY_PORT: '0', SPILLWAY_LOG_LEVEL: 'error' }
    const demo = run(['demo', file, '--serve', '--json'], env)
    await demo.until(/\n/)
    const { url } = JSON.parse(demo.said())
    expect((await fetch(url)).status).toBe(200)
    await demo.until(/\n.*\n/)
    const result = JSON.parse(demo.said().split('\n')[1] ?? '')
    expect(result).toMatchObject({ rows: 2, rejected: 0, assets: 2 })
    const list = await (await fetch(`${url}/v1/flows`)).json()
    expect(list).toMatchObject([{ flow: result.flow, status: 'completed' }])
    demo.signal('SIGTERM')
    expect((await demo.ended).code).toBe(0)
  }, 90_000)
})
