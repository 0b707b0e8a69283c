import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SpillwayError } from '../errors.js'
import { decodeBody, parseJson } from './json.js'

/** A request's JSON, and the text it was. */
export class JsonBody {
  readonly text: string
  readonly value: unknown

  constructor(text: string) {
    this.text = text
    this.value = parseJson(text)
  }
}

/** Makes JSON the one kind of body that is understood, of as many bytes as `limitOf` allows the request. */
export function acceptJson(app: FastifyInstance, limitOf: (request: FastifyRequest) => number): void {
  app.removeAllContentTypeParsers()
  // Read here: Fastify's own reading has one limit for all who call a route.
  app.addContentTypeParser(
    /^application\/(?:[\w.-]+\+)?json(?:$|[\s;])/i,
    async (request: FastifyRequest, body: Readable) => {
      const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers
      if (encoding !== 'identity') {
        throw new SpillwayError('UNSUPPORTED_MEDIA_TYPE', 'A body with a Content-Encoding is not understood')
      }
      if (/;\s*charset=(?!"?utf-?8)/i.test(type)) {
        throw new SpillwayError('UNSUPPORTED_MEDIA_TYPE', 'A JSON body is always UTF-8')
      }
      const limit = limitOf(request)
      // Most bodies say how long they are, and need not be read to be refused.
      if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit)
      const bytes = await readAll(body, limit)
      return bytes.length === 0 ? undefined : new JsonBody(decodeBody(bytes))
    },
  )
}

/** Errors: `PAYLOAD_TOO_LARGE` as soon as there is more than `limit`; the rest stays unread. */
function readAll(body: Readable, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const over = (settle: () => void) => {
      body.off('data', onData).off('end', onEnd).off('error', onError)
      settle()
    }
    const onData = (chunk: Buffer) => {
      length += chunk.length
      if (length > limit) over(() => reject(tooLarge(limit)))
      else chunks.push(chunk)
    }
    const onEnd = () => over(() => resolve(Buffer.concat(chunks, length)))
    const onError = (error: Error) =>
      over(() => reject(new SpillwayError('INVALID_ARGUMENT', 'The body broke off', { cause: error })))
    body.on('data', onData).on('end', onEnd).on('error', onError)
  })
}

function tooLarge(limit: number): SpillwayError {
  return new SpillwayError('PAYLOAD_TOO_LARGE', `The body is larger than ${limit} bytes, which is the limit`)
}
