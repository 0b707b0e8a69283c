import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import { accepts } from '../support/processes.js'
import { openStream } from '../support/sse.js'
import { start } from './running.js'

let database: FreshDatabase
beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())

/** One request over a connection that is kept. */
function ask(url: string, agent: Agent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
    }).on('error', reject)
  })
}

it('ends streams so that they resume elsewhere, and takes no new connections', async () => {
  const first = await start({ databaseUrl: database.url, drainMs: 2000 })
  const second = await start({ databaseUrl: database.url })
  const flow = first.spillway.tenant('default').flow('drained')
  await flow.publish('t', 1)
  const readers = await Promise.all(
    Array.from({ length: 120 }, () => openStream(`${first.url}/v1/flows/drained/stream?after=0`)),
  )
  await Promise.all(readers.map((reader) => reader.until(({ frames }) => frames.length === 1)))

  const started = performance.now()
  const drained = first.server.drain()
  expect(first.server.drain()).toBe(drained)
  await Promise.all(readers.map(({ closed }) => closed))
  await drained
  expect(performance.now() - started).toBeLessThan(2500)
  expect(await accepts(Number(new URL(first.url).port))).toBe(false)

  await second.spillway.tenant('default').flow('drained').publish('t', 2)
  const resumed = await openStream(`${second.url}/v1/flows/drained/stream`, {
    lastEventId: readers[0]?.lastEventId ?? '',
  })
  await resumed.until(({ frames }) => frames.length === 1)
  expect(resumed.ids()).toEqual(['1-2'])
  resumed.close()
  await first.stop()
  await second.stop()
})

it('is not ready while it drains, and cuts what does not end', async () => {
  const running = await start({ databaseUrl: database.url, drainMs: 1000 })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const reader = await openStream(`${running.url}/v1/flows/stuck/stream`)
  reader.stop()
  // Its answer never comes: the request is never whole.
  const hanging = await startRequest(running.url)
  expect((await ask(`${running.url}/readyz`, agent)).status).toBe(200)
  const kept = new Agent({ keepAlive: true, maxSockets: 1 })
  await ask(`${running.url}/livez`, kept)
  const started = performance.now()
  const drained = running.server.drain()
  const streamed = ask(`${running.url}/v1/flows/late/stream`, kept).catch(
    (error: NodeJS.ErrnoException) => error.code,
  )
  const after = ask(`${running.url}/readyz`, agent).catch((error: NodeJS.ErrnoException) => error.code)
  // Over a connection that was open it is told; a new one is refused.
  expect(JSON.stringify(await after)).toMatch(/DRAINING|ECONNREFUSED|ECONNRESET/)
  // A browser does not come back from a refusal: a stream that is asked for now ends at once instead.
  expect(JSON.stringify(await streamed)).toMatch(/retry: 1000|ECONNREFUSED|ECONNRESET/)
  await drained
  expect(performance.now() - started).toBeLessThan(2000)
  await hanging.closed
  agent.destroy()
  kept.destroy()
  await running.stop()
})

it('says where it is to the command line of an embedded store, and takes that back', async () => {
  const running = await start()
  const file = join(running.dataDir, 'server.json')
  expect(existsSync(file)).toBe(true)
  await running.server.drain()
  expect(existsSync(file)).toBe(false)
  await running.stop()
}, 60_000)

it('says in one line why it cannot listen', async () => {
  const running = await start({ databaseUrl: database.url })
  const port = Number(new URL(running.url).port)
  await expect(start({ databaseUrl: database.url, port })).rejects.toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('SPILLWAY_PORT') }),
  )
  await running.stop()
})

/** A request whose body never ends. */
async function startRequest(url: string): Promise<{ closed: Promise<unknown> }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  socket.write(
    'POST /v1/tickets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
  )
  return { closed: once(socket, 'close') }
}
