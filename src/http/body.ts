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

/** Makes JSON the one kind of body that is understood. */
export function acceptJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>(
    /^application\/(?:[\w.-]+\+)?json(?:$|[\s;])/i,
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers
      if (encoding !== 'identity') {
        throw new SpillwayError('UNSUPPORTED_MEDIA_TYPE', 'A body with a Content-Encoding is not understood')
      }
      if (/;\s*charset=(?!"?utf-?8)/i.test(type)) {
        throw new SpillwayError('UNSUPPORTED_MEDIA_TYPE', 'A JSON body is always UTF-8')
      }
      return body.length === 0 ? undefined : new JsonBody(decodeBody(body))
    },
  )
}
