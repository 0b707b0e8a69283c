import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lockDirectory } from '../../src/postgres/directory-lock.js'
import { eventually } from '../support/eventually.js'
import { type Child, linesOf, runChild } from './children.js'

let dir: string
const children: Child[] = []

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'spillway-lock-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) await child.kill()
  rmSync(dir, { recursive: true, force: true })
})

/** Takes the lock of each directory that it is told, and says whether it got it; `release` lets go. */
const LOCKER = `
const { lockDirectory } = await built('postgres/directory-lock.js')
let lock
say('ready')
for await (const line of lines) {
  if (line === 'release') { await lock?.release(); lock = undefined; say('released') }
  else try { lock = await lockDirectory(line); say('won') } catch (error) { say(String(error.code)) }
}`

async function locker(): Promise<Child> {
  const child = runChild(LOCKER)
  children.push(child)
  await child.line()
  return child
}

async function asks(child: Child, line: string): Promise<string> {
  child.say(line)
  return child.line()
}

const inUse = { code: 'DATA_DIR_IN_USE', temporary: false }

describe('the lock of a data directory', () => {
  it('refuses a second holder, in this process and in another, until it is released', async () => {
    const lock = await lockDirectory(dir)
    await expect(lockDirectory(dir)).rejects.toMatchObject(inUse)
    await expect(lockDirectory(dir)).rejects.toThrow(`process ${process.pid}`)
    const other = await locker()
    expect(await asks(other, dir)).toBe('DATA_DIR_IN_USE')
    await lock.release()
    expect(await readdir(dir)).toEqual([])
    expect(await asks(other, dir)).toBe('won')
    await expect(lockDirectory(dir)).rejects.toMatchObject(inUse)
    expect(await asks(other, 'release')).toBe('released')
    await (await lockDirectory(dir)).release()
  })

  it('is taken from a holder that was killed', async () => {
    const holder = await locker()
    expect(await asks(holder, dir)).toBe('won')
    await holder.kill()
    const lock = await lockDirectory(dir)
    expect(JSON.parse(await readFile(join(dir, 'lock'), 'utf8'))).toMatchObject({ pid: process.pid })
    await lock.release()
  })

  it('is taken from a holder that was killed and whose parent has not noticed', async () => {
    const program = `const { lockDirectory } = await import(${JSON.stringify(
      new URL('../../dist/src/postgres/directory-lock.js', import.meta.url).href,
    )}); await lockDirectory(${JSON.stringify(dir)}); console.log(process.pid); setInterval(() => {}, 1000)`
    // "sleep" takes the shell's place and never waits for the child: killed, it stays a zombie.
    const parent = spawn(
      'sh',
      ['-c', '"$1" --input-type=module -e "$2" & exec sleep 1000', 'sh', process.execPath, program],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const pid = Number((await linesOf(parent).next()).value)
    await expect(lockDirectory(dir)).rejects.toMatchObject(inUse)
    process.kill(pid, 'SIGKILL')
    const lock = await eventually(() => lockDirectory(dir))
    expect(process.kill(pid, 0)).toBe(true)
    await lock.release()
    parent.kill('SIGKILL')
  })

  it('is taken from a holder whose process number now belongs to another process', async () => {
    const holder = { pid: process.pid, host: hostname(), started: '1', nonce: 'old' }
    await writeFile(join(dir, 'lock'), JSON.stringify(holder))
    const lock = await lockDirectory(dir)
    await lock.release()
  })

  it('of another host is respected while it is touched, and taken when it no longer is', async () => {
    const path = join(dir, 'lock')
    await writeFile(path, JSON.stringify({ pid: 1, host: 'elsewhere', started: '1', nonce: 'other' }))
    await expect(lockDirectory(dir)).rejects.toThrow('process 1 on elsewhere')
    const old = new Date(Date.now() - 31_000)
    await utimes(path, old, old)
    await (await lockDirectory(dir)).release()
  })

  it.each(['', 'null', '{', '[]', '{"pid":"x"}'])(
    'that reads %j is respected until it is old',
    async (text) => {
      const path = join(dir, 'lock')
      await writeFile(path, text)
      await expect(lockDirectory(dir)).rejects.toMatchObject(inUse)
      const old = new Date(Date.now() - 31_000)
      await utimes(path, old, old)
      await (await lockDirectory(dir)).release()
      expect(await readdir(dir)).toEqual([])
    },
  )

  it('survives a process that died while it took over', async () => {
    const dead = { pid: 2 ** 22 + 1, host: hostname(), started: '1', nonce: 'dead' }
    await writeFile(join(dir, 'lock'), JSON.stringify(dead))
    const mutex = join(dir, 'lock.takeover')
    await writeFile(mutex, '{}')
    await expect(lockDirectory(dir)).rejects.toMatchObject(inUse)
    const old = new Date(Date.now() - 31_000)
    await utimes(mutex, old, old)
    await (await lockDirectory(dir)).release()
    expect(await readdir(dir)).toEqual([])
  })

  it('of a dead holder is won by exactly one of those who race for it', async () => {
    const racers = await Promise.all([locker(), locker(), locker()])
    const dead = { pid: 2 ** 22 + 1, host: hostname(), started: '1', nonce: 'dead' }
    for (let round = 0; round < 20; round++) {
      await writeFile(join(dir, 'lock'), JSON.stringify(dead))
      const answers = await Promise.all(racers.map((racer) => asks(racer, dir)))
      expect(answers.sort()).toEqual(['DATA_DIR_IN_USE', 'DATA_DIR_IN_USE', 'won'])
      await Promise.all(racers.map((racer) => asks(racer, 'release')))
    }
  })

  it('is never held by two, however often it changes hands', async () => {
    const racers = await Promise.all([locker(), locker(), locker()])
    const held = new Set<Child>()
    let wins = 0
    await Promise.all(
      racers.map(async (racer) => {
        for (let i = 0; i < 150; i++) {
          if ((await asks(racer, dir)) !== 'won') continue
          held.add(racer)
          wins += 1
          expect(held.size).toBe(1)
          held.delete(racer)
          await asks(racer, 'release')
        }
      }),
    )
    expect(wins).toBeGreaterThan(10)
    expect(await readdir(dir)).toEqual([])
  })
})
