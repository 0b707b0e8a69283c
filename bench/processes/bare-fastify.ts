// A Fastify route that takes the same body and answers nothing but JSON of the same size.
import { fastify } from 'fastify'

const app = fastify()
const answerTo = (event: object, i: number) => ({
  id: `1-${i}`,
  flow: 'flow-1',
  ...event,
  timestamp: new Date().toISOString(),
  durability: 'durable',
})
app.post<{ Body: object | object[] }>('/v1/flows/:flow/events', async (asked, answer) => {
  answer.code(201)
  return Array.isArray(asked.body) ? asked.body.map(answerTo) : answerTo(asked.body, 1)
})
process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`)
