// better-sse as its documentation has it: a session a reader, a channel for all. POST / takes an array of events.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createChannel, createSession } from 'better-sse'
import { body, eventOf } from './wire.js'

const channel = createChannel()
let id = 0

const server = createServer(async (asked, answer) => {
  if (asked.method === 'GET') {
    channel.register(await createSession(asked, answer, { keepAlive: null, retry: 2000 }))
    return
  }
  for (const { type, payload } of await body(asked)) {
    id += 1
    channel.broadcast(eventOf(id, type, payload), type, { eventId: `1-${id}` })
  }
  answer.writeHead(201).end()
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
