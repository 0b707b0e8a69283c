import { once } from 'node:events'
import { connect } from 'node:net'

export type RedisReply = string | number | null | readonly RedisReply[]

/** Speaks RESP on a bare socket: what the tests say to a server must not pass through what they test. */
export async function askOnce(
  port: number,
  auth: readonly string[],
  command: readonly string[],
): Promise<RedisReply> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    const commands = auth.length > 0 ? [auth, command] : [command]
    for (const words of commands) {
      socket.write(
        `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
      )
    }
    let read = Buffer.alloc(0)
    for await (const chunk of socket) {
      read = Buffer.concat([read, chunk])
      let at = 0
      let reply: RedisReply = null
      for (let i = 0; i < commands.length; i++) {
        const parsed = parse(read, at)
        if (!parsed) break
        ;[reply, at] = parsed
        if (i === commands.length - 1) return reply
      }
    }
    throw new Error('the connection was closed')
  } finally {
    socket.destroy()
  }
}

/** A reply and where the next one begins; undefined if it is not all there yet. */
function parse(read: Buffer, from: number): [RedisReply, number] | undefined {
  const end = read.indexOf('\r\n', from)
  if (end < 0) return undefined
  const line = read.toString('utf8', from + 1, end)
  const next = end + 2
  switch (String.fromCharCode(read[from] ?? 0)) {
    case '-':
      throw new Error(line)
    case ':':
      return [Number(line), next]
    case '$': {
      const size = Number(line)
      if (size < 0) return [null, next]
      return read.length < next + size + 2
        ? undefined
        : [read.toString('utf8', next, next + size), next + size + 2]
    }
    case '*': {
      if (Number(line) < 0) return [null, next]
      const items: RedisReply[] = []
      let at = next
      while (items.length < Number(line)) {
        const item = parse(read, at)
        if (!item) return undefined
        items.push(item[0])
        at = item[1]
      }
      return [items, at]
    }
    default:
      return [line, next]
  }
}
