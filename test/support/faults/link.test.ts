import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eventually } from '../eventually.js'
import { type Link, startLink } from './link.js'

/** A store that answers every line with itself, and remembers what reached it. */
async function startEcho(name: string) {
  const heard: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      heard.push(String(chunk))
      socket.write(`${name}:${chunk}`)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { url: `redis://127.0.0.1:${address.port}/`, heard, close: () => server.close() }
}

/** A client's connection: all it got, and how it ended. */
function dial(link: Link) {
  const socket: Socket = connect(Number(new URL(link.url).port), '127.0.0.1')
  const self = { socket, got: '', end: undefined as string | undefined }
  socket.setEncoding('utf8').on('data', (text) => {
    self.got += text
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    self.end = error.code
  })
  socket.on('close', () => {
    self.end ??= 'closed'
  })
  return self
}

let echo: Awaited<ReturnType<typeof startEcho>>
let link: Link
const clients: Socket[] = []
const client = () => {
  const dialled = dial(link)
  clients.push(dialled.socket)
  return dialled
}
const says = (one: { got: string }, text: string) =>
  eventually(() => one.got === text, { what: `"${text}" (it has "${one.got}")` })
const ends = (one: { end: string | undefined }, how: string) =>
  eventually(() => one.end === how, { what: `the end ${how}` })

beforeEach(async () => {
  echo = await startEcho('a')
  link = await startLink(echo.url)
})
afterEach(async () => {
  for (const socket of clients.splice(0)) socket.destroy()
  await link.close()
  echo.close()
})

it('passes everything both ways, and counts it', async () => {
  const one = client()
  one.socket.write('hello')
  await says(one, 'a:hello')
  expect(link.counts).toEqual({ accepted: 1, cut: 0, request: 5, reply: 7 })
  expect(link.open).toBe(1)
  one.socket.end()
  await ends(one, 'closed')
  await eventually(() => link.open === 0)
})

it('is a black hole for open and new connections, and delivers late what was sent', async () => {
  const open = client()
  open.socket.write('1')
  await says(open, 'a:1')
  link.blackHole()
  open.socket.write('2')
  const fresh = client()
  fresh.socket.write('3')
  await once(fresh.socket, 'connect')
  const other = await startLink(echo.url)
  // A round trip through a link of its own takes at least as long as one through this link would have.
  const beside = dial(other)
  beside.socket.write('4')
  await says(beside, 'a:4')
  beside.socket.destroy()
  await other.close()
  expect([open.got, fresh.got, echo.heard]).toEqual(['a:1', '', ['1', '4']])
  await link.heal()
  await says(open, 'a:1a:2')
  await says(fresh, 'a:3')
})

it('is a black hole for replies alone: the store works on, nobody hears of it', async () => {
  const one = client()
  link.blackHole('reply')
  one.socket.write('done')
  await eventually(() => echo.heard.includes('done'))
  expect(one.got).toBe('')
  await link.heal()
  await says(one, 'a:done')
})

it('delivers the request of a client that has given up meanwhile', async () => {
  const one = client()
  one.socket.write('1')
  await says(one, 'a:1')
  link.blackHole()
  one.socket.write('late')
  one.socket.end()
  await once(one.socket, 'finish')
  expect(echo.heard).toEqual(['1'])
  await link.heal()
  await eventually(() => echo.heard.includes('late'))
})

it('drops what was in the black hole when it is reset before it is healed', async () => {
  const one = client()
  one.socket.write('1')
  await says(one, 'a:1')
  link.blackHole()
  one.socket.write('never')
  link.reset()
  await ends(one, 'ECONNRESET')
  await link.heal()
  const two = client()
  two.socket.write('2')
  await says(two, 'a:2')
  expect(echo.heard).toEqual(['1', '2'])
})

it('resets open connections, and new ones while it is told to', async () => {
  const one = client()
  one.socket.write('1')
  await says(one, 'a:1')
  link.resetNew()
  link.reset()
  await ends(one, 'ECONNRESET')
  const two = client()
  two.socket.write('2')
  await ends(two, 'ECONNRESET')
  expect(link.counts.cut).toBe(2)
  await link.heal()
  const three = client()
  three.socket.write('3')
  await says(three, 'a:3')
})

it('refuses new connections while open ones go on', async () => {
  const one = client()
  one.socket.write('1')
  await says(one, 'a:1')
  await link.refuse()
  await ends(client(), 'ECONNREFUSED')
  one.socket.write('2')
  await says(one, 'a:1a:2')
  await link.heal()
  const two = client()
  two.socket.write('3')
  await says(two, 'a:3')
})

it('delays one way', async () => {
  const one = client()
  one.socket.write('1')
  await says(one, 'a:1')
  link.delay(200, 'reply')
  const asked = performance.now()
  one.socket.write('2')
  await eventually(() => echo.heard.includes('2'))
  expect(performance.now() - asked).toBeLessThan(200)
  await says(one, 'a:1a:2')
  expect(performance.now() - asked).toBeGreaterThanOrEqual(199)
  link.delay(0)
  link.delay(150, 'request')
  const again = performance.now()
  one.socket.write('3')
  await eventually(() => echo.heard.includes('3'))
  expect(performance.now() - again).toBeGreaterThanOrEqual(149)
})

it('throttles, and loses nothing of it', async () => {
  link.throttle(20_000, 'request')
  const one = client()
  const started = performance.now()
  one.socket.write('x'.repeat(10_000))
  await eventually(() => echo.heard.join('').length === 10_000)
  expect(performance.now() - started).toBeGreaterThanOrEqual(400)
})

it('cuts in the middle of a reply', async () => {
  const one = client()
  const cut = link.cutReply(4)
  one.socket.write('hello')
  await cut
  await ends(one, 'closed')
  expect(one.got).toBe('a:he')
  expect(link.counts.cut).toBe(1)
})

it('leads to another server', async () => {
  const other = await startEcho('b')
  const one = client()
  one.socket.write('1')
  await says(one, 'a:1')
  link.retarget(other.url)
  await ends(one, 'ECONNRESET')
  const two = client()
  two.socket.write('2')
  await says(two, 'b:2')
  other.close()
})
it('ends its clients when the store ends, after the last byte of it', async () => {
  const server = createServer((socket) => socket.end('last words')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const own = await startLink(`redis://127.0.0.1:${address.port}/`)
  own.delay(50, 'reply')
  const one = dial(own)
  await ends(one, 'closed')
  expect(one.got).toBe('last words')
  await own.close()
  server.close()
})
