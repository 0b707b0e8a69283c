import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cp, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { eventually } from './eventually.js'

const BUILT = new URL('../../dist/src/index.js', import.meta.url).href

const places = (shared: string) => ({
  making: join(shared, 'making'),
  made: join(shared, 'embedded'),
  failed: join(shared, 'failed'),
})

/**
 * Begins to make an embedded store as a first start leaves it: that takes seconds of computing, so it is done once
 * for all test files, in a process of its own. Answers how to end that early.
 */
export function makeEmbedded(shared: string): () => Promise<void> {
  const { making, made, failed } = places(shared)
  const script = `
    import { renameSync } from 'node:fs'
    const { Spillway } = await import(${JSON.stringify(BUILT)})
    const spillway = await Spillway.open({ dataDir: ${JSON.stringify(making)} })
    await spillway.close()
    renameSync(${JSON.stringify(making)}, ${JSON.stringify(made)})`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  // While it runs it ends with the folder, see `tieToThisProcess`.
  const pid = join(shared, 'pid')
  writeFileSync(pid, String(child.pid))
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk
  })
  const ended = once(child, 'close').then(([code]) => {
    rmSync(pid)
    if (code !== 0) writeFileSync(failed, said)
  })
  return async () => {
    child.kill('SIGKILL')
    await ended
  }
}

/** A new data folder with a copy of that store. What a first start does is tested by those who begin without. */
export async function embeddedFolder(): Promise<string> {
  const { made, failed } = places(inject('sharedFolder'))
  await eventually(() => existsSync(made) || existsSync(failed), {
    withinMs: 120_000,
    everyMs: 50,
    what: 'the making of an embedded store',
  })
  if (existsSync(failed)) throw new Error(`No embedded store was made: ${readFileSync(failed, 'utf8')}`)
  const folder = await mkdtemp(join(tmpdir(), 'spillway-embedded-'))
  await cp(made, folder, { recursive: true })
  return folder
}
