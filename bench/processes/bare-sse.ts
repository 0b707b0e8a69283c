// A bare loop of res.write: what fan-out costs on Node without any care. POST / takes an array of events.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { body, frameOf } from './wire.js'

const readers = new Set<ServerResponse>()
let id = 0

const server = createServer(async (asked, answer) => {
  if (asked.method === 'GET') {
    answer.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' })
    answer.write('retry: 2000\n\n')
    readers.add(answer)
    answer.on('close', () => readers.delete(answer))
    return
  }
  for (const { type, payload } of await body(asked)) {
    id += 1
    const frame = frameOf(id, type, payload)
    for (const reader of readers) reader.write(frame)
  }
  answer.writeHead(201).end()
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
