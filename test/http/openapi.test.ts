import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CODES } from '../../src/errors.js'
import { CANARY_TENANT } from '../../src/http/canary.js'
import { type Answer, type Running, start } from './running.js'

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query'
  readonly required: boolean
}

interface Operation {
  readonly path: string
  readonly method: string
  readonly parameters: readonly Parameter[]
  /** Names of the body's members; undefined if the operation takes no body. */
  readonly members: readonly string[] | undefined
}

let running: Running
let operations: Operation[]
beforeAll(async () => {
  running = await start({ heartbeatMs: 100 })
  operations = operationsOf((await running.call('GET', '/openapi.json')).json)
})
afterAll(() => running.stop())

it('finds every operation of the document', () => {
  expect(operations.length).toBeGreaterThan(12)
  expect(operations.filter(({ members }) => members).length).toBe(10)
})

/** Texts that are wrong everywhere: as a flow, a cursor, a number, a choice. */
const badText = fc.oneof(
  fc.constantFrom(
    '\u0000',
    'a\u0000b',
    '\n',
    '\u007f',
    '\u0085',
    '\u2028',
    'x'.repeat(257),
    '😀'.repeat(65),
    '',
    '.',
    '..',
  ),
  fc.string({ minLength: 257, maxLength: 300, unit: 'binary' }).map((text) => text.toWellFormed()),
)
/** What no percent-decoder takes, or what decodes to no text. */
const badEncoding = fc.constantFrom('%', '%zz', '%f', '%ff', '%c0%80', '%ed%a0%80', 'a%E0%A4', '%00')

const badBody: fc.Arbitrary<{ readonly text: string | Uint8Array<ArrayBuffer>; readonly type: string }> =
  fc.oneof(
    fc
      .constantFrom(
        '',
        ' ',
        '{',
        '[',
        '{"type":',
        '{"a":1,}',
        "{'a':1}",
        'nul',
        '\u0000',
        '{"type":"\u0001"}',
        '[1',
        '"',
        '{}{}',
        '01',
        'NaN',
        '\ufeff\ufeff{}',
      )
      .map((text) => ({ text, type: 'application/json' })),
    fc
      .constantFrom(
        'text/plain',
        'application/xml',
        'multipart/form-data',
        'application/x-www-form-urlencoded',
        'x',
        'application/json; charset=utf-16',
      )
      .map((type) => ({ text: '{"type":"t","payload":1}', type })),
    fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => ({
      // 0xFF is in no UTF-8 text.
      text: new Uint8Array([...bytes, 0xff]),
      type: 'application/json',
    })),
    fc.integer({ min: 201, max: 100_000 }).map((depth) => ({
      text: `{"type":"t","payload":${'['.repeat(depth)}${']'.repeat(depth)}}`,
      type: 'application/json',
    })),
    fc
      .constantFrom('1', 'null', 'true', '"text"', '[]', '[null]', '[[]]', '[1]')
      .map((text) => ({ text, type: 'application/json' })),
  )

const badValue = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    -1.5,
    1e300,
    '',
    '\u0000',
    'x'.repeat(300),
    [],
    {},
    [null],
    [[]],
    ['\u0000'],
    { a: 1 },
  ),
  badText,
)

it('answers bad parameters of every operation with a problem, and writes nothing', async () => {
  const spots = operations.flatMap((operation) =>
    operation.parameters.map((parameter) => ({ operation, parameter })),
  )
  const before = await counts()
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...spots),
      fc.oneof(badText.map(encodeURIComponent), badEncoding),
      async ({ operation, parameter }, bad) => {
        // Cursors of streams are never refused; nor is a search for what is not there.
        const harmless = parameter.name === 'after' && operation.path.endsWith('stream')
        const url = addressOf(operation, parameter, bad)
        const answer = await send(operation, url)
        if (harmless && answer.status === 200) return
        expectProblem(answer, `${operation.method} ${url}`)
      },
    ),
    { numRuns: 400 },
  )
  expect(await counts()).toEqual(before)
})

it('answers bad bodies of every operation with a problem, and writes nothing', async () => {
  const taking = operations.filter(({ members }) => members)
  const before = await counts()
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...taking), badBody, async (operation, { text, type }) => {
      const url = addressOf(operation)
      const answer = await running.call(operation.method, url, { text, headers: { 'content-type': type } })
      expectProblem(answer, `${operation.method} ${url} ${type} ${String(text).slice(0, 100)}`)
    }),
    { numRuns: 300 },
  )
  expect(await counts()).toEqual(before)
})

it('answers bad members of every body with a problem, and writes nothing', async () => {
  const spots = operations.flatMap((operation) =>
    (operation.members ?? []).map((member) => ({ operation, member })),
  )
  const before = await counts()
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...spots), badValue, async ({ operation, member }, bad) => {
      // Any JSON is a payload; a state may hold null where it says nothing, and zero length is no engagement.
      if (member === 'payload') return
      const good: Record<string, unknown> = {
        type: 't',
        payload: 1,
        flows: ['a'],
        scopes: ['publish'],
        ttlMs: 1000,
        fence: 1,
      }
      const names = operation.members ?? []
      const body = Object.fromEntries(names.filter((name) => name in good).map((name) => [name, good[name]]))
      const url = addressOf(operation)
      const answer = await running.call(operation.method, url, { body: { ...body, [member]: bad } })
      if (isFine(operation, member, bad)) expect(answer.status).toBeLessThan(300)
      else expectProblem(answer, `${operation.method} ${url} ${member} ${JSON.stringify(bad)}`)
    }),
    { numRuns: 400 },
  )
  // What was fine after all has changed a state, or made a key.
  const after = await counts()
  expect({ ...after, api_keys: 0, flow_states: 0 }).toEqual({ ...before, api_keys: 0, flow_states: 0 })
})

it('takes no member that it does not know', async () => {
  for (const member of ['paylod', '__proto__', 'constructor', 'id']) {
    const text = `{"type":"t","payload":1,"${member}":{"a":1}}`
    const answer = await running.call('POST', '/v1/flows/unknown/events', { text })
    expect([answer.status, answer.json.code]).toEqual([400, 'INVALID_ARGUMENT'])
  }
})

function isFine(operation: Operation, member: string, bad: unknown): boolean {
  if (operation.path.endsWith('/state')) {
    return (
      (bad === null && member !== 'status') || (member === 'current_phase' && (bad === '' || isPhase(bad)))
    )
  }
  return operation.path.endsWith('/keys') && member === 'name' && bad === ''
}

function isPhase(bad: unknown): boolean {
  return (
    typeof bad === 'string' && bad.length <= 256 && Buffer.byteLength(bad) <= 256 && !bad.includes('\u0000')
  )
}

function expectProblem(answer: Answer, what: string): void {
  expect(answer.status, what).toBeGreaterThanOrEqual(400)
  expect(answer.status, what).toBeLessThan(500)
  expect(answer.headers.get('content-type'), what).toBe('application/problem+json')
  expect(Object.keys(CODES), what).toContain(answer.json.code)
  expect(answer.json, what).toMatchObject({
    type: `urn:spillway:problem:${answer.json.code}`,
    status: answer.status,
    title: expect.any(String),
    detail: expect.any(String),
  })
}

/** The operation's address, good but for one parameter. */
function addressOf(operation: Operation, bad?: Parameter, text = ''): string {
  const good: Record<string, string> = { flow: 'f', id: '0123456789abcdef', flows: 'a,b', name: 'l' }
  const value = (parameter: Parameter) => (parameter === bad ? text : (good[parameter.name] ?? ''))
  let url = operation.path
  const query: string[] = []
  for (const parameter of operation.parameters) {
    if (parameter.in === 'path') url = url.replace(`{${parameter.name}}`, value(parameter))
    else if (parameter.required || parameter === bad) query.push(`${parameter.name}=${value(parameter)}`)
  }
  return query.length === 0 ? url : `${url}?${query.join('&')}`
}

async function send(operation: Operation, url: string): Promise<Answer> {
  if (operation.path.endsWith('stream')) return head(url)
  const body = operation.members && { type: 't', payload: 1, flows: ['a'], scopes: ['publish'] }
  return running.call(operation.method, url, { body })
}

/** A stream that is open has no end to wait for. */
async function head(url: string): Promise<Answer> {
  const stop = new AbortController()
  const answer = await fetch(running.url + url, { signal: stop.signal })
  const text = answer.status === 200 ? '' : await answer.text()
  stop.abort()
  return { status: answer.status, headers: answer.headers, text, json: text === '' ? {} : JSON.parse(text) }
}

async function counts(): Promise<Record<string, number>> {
  const tables = ['events', 'flows', 'flow_states', 'api_keys']
  const counted: Record<string, number> = {}
  for (const table of tables) {
    const rows = await running.spillway.database.scoped('all', (tx) =>
      tx.query<{ n: number }>(`SELECT count(*)::int AS n FROM spillway.${table} WHERE tenant <> $1`, [
        CANARY_TENANT,
      ]),
    )
    counted[table] = rows[0]?.n ?? -1
  }
  return counted
}

type Schema = { $ref?: string; anyOf?: Schema[]; type?: string; properties?: object }

function operationsOf(document: Record<string, unknown>): Operation[] {
  const { schemas } = document.components as { schemas: Record<string, Schema> }
  const resolve = (schema: Schema): Schema => {
    const plain = schema.$ref ? (schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {}) : schema
    const single = plain.anyOf?.map(resolve).find(({ type }) => type === 'object')
    return single ?? plain
  }
  type Described = {
    parameters?: Parameter[]
    requestBody?: { content: { 'application/json': { schema: Schema } } }
  }
  const paths = document.paths as Record<string, Record<string, Described>>
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody }]) => ({
      path,
      method: method.toUpperCase(),
      parameters,
      members:
        requestBody && Object.keys(resolve(requestBody.content['application/json'].schema).properties ?? {}),
    })),
  )
}
