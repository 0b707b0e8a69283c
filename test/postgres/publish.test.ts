import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Spillway } from '../../src/index.js'
import { reading, seqs } from '../events/readers.js'
import { freshDatabase } from '../support/database.js'
import { type Outside, openOutside } from './outside.js'

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let spillway: Spillway
let app: Outside
let names = 0

beforeAll(async () => {
  fresh = await freshDatabase()
  spillway = await Spillway.open({ postgres: fresh.url, config: { backstopMs: 60_000, poolSize: 4 } })
  app = await openOutside(fresh.url)
  await app.client.query('CREATE TABLE orders (id int PRIMARY KEY)')
})
afterAll(async () => {
  await app.close()
  await spillway.close()
  await fresh.drop()
})

const someFlow = () => spillway.tenant('acme').flow(`f-${++names}`)

async function publish(flow: string, type: string, ...rest: string[]): Promise<string> {
  const { rows } = await app.client.query<{ id: string }>(
    `SELECT spillway.publish('acme', $1, $2${rest.map((part) => `, ${part}`).join('')}) AS id`,
    [flow, type],
  )
  return rows[0]?.id ?? ''
}

describe('spillway.publish() in a transaction of the user', () => {
  it('stores the event if and only if that commits, and leaves no hole', async () => {
    const flow = someFlow()
    await app.client.query('BEGIN')
    await app.client.query('INSERT INTO orders VALUES (1)')
    expect(await publish(flow.name, 'ordered', `'{"order": 1}'`)).toBe('1-1')
    expect(await publish(flow.name, 'ordered', `'{"order": 2}'`)).toBe('1-2')
    expect(await flow.history()).toEqual([])
    await app.client.query('COMMIT')

    await app.client.query('BEGIN')
    expect(await publish(flow.name, 'never')).toBe('1-3')
    await app.client.query('SAVEPOINT s')
    expect(await publish(flow.name, 'never')).toBe('1-4')
    await app.client.query('ROLLBACK TO s')
    expect(await publish(flow.name, 'never')).toBe('1-4')
    await app.client.query('ROLLBACK')

    expect(await flow.publish('after')).toMatchObject({ id: '1-3' })
    expect(await flow.history()).toMatchObject([
      { id: '1-1', type: 'ordered', payload: { order: 1 }, source: 'system' },
      { id: '1-2', payload: { order: 2 } },
      { id: '1-3', type: 'after' },
    ])
  })

  it('lists the flow like any other, and gives it a place among its tenant only', async () => {
    const flow = someFlow()
    await publish(flow.name, 'tick')
    expect((await spillway.tenant('acme').flows({ limit: 1 })).map((row) => row.flow)).toEqual([flow.name])
    expect(await spillway.tenant('rival').flows()).toEqual([])
  })

  it('answers the first event for a key, within a transaction and beside the library', async () => {
    const flow = someFlow()
    const keyed = [`'{"n":1}'`, `'app'`, `'k'`]
    await app.client.query('BEGIN')
    expect(await publish(flow.name, 'tick', ...keyed)).toBe('1-1')
    expect(await publish(flow.name, 'tick', `'{"n":2}'`, `'app'`, `'k'`)).toBe('1-1')
    await app.client.query('COMMIT')
    expect(await publish(flow.name, 'tick', ...keyed)).toBe('1-1')
    expect(await flow.publish('tock', { n: 3 }, { key: 'k' })).toMatchObject({
      id: '1-1',
      type: 'tick',
      source: 'app',
      payload: { n: 1 },
    })
    await flow.publish('lib', {}, { key: 'l' })
    expect(await publish(flow.name, 'tick', `'{}'`, `'app'`, `'l'`)).toBe('1-2')
    expect(await flow.history()).toHaveLength(2)
  })

  it('takes the payload as it is written', async () => {
    const flow = someFlow()
    const text = String.raw`{"u":"\u0000","n":1e400, "a":1,"a":2}`
    await app.client.query(`SELECT spillway.publish('acme', $1, 'tick', $2)`, [flow.name, text])
    const page = await flow.readPage({})
    expect(page.events.map((event) => event.payload)).toEqual([text])
  })

  it.each([
    [`'', 'f', 't'`, 'INVALID_NAME'],
    [`NULL, 'f', 't'`, 'INVALID_NAME'],
    [`'..', 'f', 't'`, 'INVALID_NAME'],
    [`E'a\\nb', 'f', 't'`, 'INVALID_NAME'],
    [`repeat('ü', 65), 'f', 't'`, 'INVALID_NAME'],
    [`'acme', '', 't'`, 'INVALID_NAME'],
    [`'acme', '.', 't'`, 'INVALID_NAME'],
    [`'acme', E'f\\u0085', 't'`, 'INVALID_NAME'],
    [`'acme', E'f\\u2028', 't'`, 'INVALID_NAME'],
    [`'acme', repeat('x', 257), 't'`, 'INVALID_NAME'],
    [`'acme', 'f', ''`, 'INVALID_NAME'],
    [`'acme', 'f', E't\\r'`, 'INVALID_NAME'],
    [`'acme', 'f', '..'`, 'INVALID_NAME'],
    [`'acme', 'f', repeat('t', 129)`, 'INVALID_NAME'],
    [`'acme', 'f', 'gap'`, 'RESERVED_TYPE'],
    [`'acme', 'f', 'spillway.x'`, 'RESERVED_TYPE'],
    [`'acme', 'f', 't', '{}', ''`, 'INVALID_NAME'],
    [`'acme', 'f', 't', '{}', E'\\t'`, 'INVALID_NAME'],
    [`'acme', 'f', 't', '{}', 's', ''`, 'INVALID_NAME'],
    [`'acme', 'f', 't', '{}', 's', E'k\\n'`, 'INVALID_NAME'],
    [`'acme', 'f', 't', '{}', 's', repeat('k', 257)`, 'INVALID_NAME'],
    [`'acme', 'f', 't', NULL`, 'PAYLOAD_TOO_LARGE'],
    [`'acme', 'f', 't', to_json(repeat('x', 262143))`, 'PAYLOAD_TOO_LARGE'],
    [`'acme', 'f', 't', '{'`, 'invalid input syntax for type json'],
  ])('refuses (%s)', async (args, what) => {
    await expect(app.client.query(`SELECT spillway.publish(${args})`)).rejects.toThrow(what)
  })

  it('takes names and payloads up to their limits', async () => {
    const args = `repeat('ü', 64), repeat('x', 256), repeat('t', 128), to_json(repeat('x', 262142)), repeat('s', 256), repeat('k', 256)`
    const { rows } = await app.client.query(`SELECT spillway.publish(${args}) AS id`)
    expect(rows).toEqual([{ id: '1-1' }])
  })

  it('reaches readers at once when it is asked to announce', async () => {
    const flow = someFlow()
    const reader = reading((signal) => flow.subscribe({ after: '0', signal }))
    await flow.publish('first')
    await reader.until(1)
    await app.client.query('BEGIN')
    await publish(flow.name, 'quiet')
    await publish(flow.name, 'loud', `announce => true`)
    await app.client.query('COMMIT')
    // The backstop of this Spillway would take a minute.
    expect(seqs(await reader.until(3))).toEqual([1, 2, 3])
    await reader.stop()
  })

  it('leaves the tenants and the scope of the transaction as they were', async () => {
    const setting = async () =>
      (
        await app.client.query(
          `SELECT current_setting('spillway.tenants', true) AS tenants, current_user AS who,
             current_setting('lock_timeout') AS lock_timeout`,
        )
      ).rows[0]
    await app.client.query('BEGIN')
    await app.client.query(`SET LOCAL spillway.tenants = '{rival}'`)
    const before = await setting()
    await publish(someFlow().name, 'tick')
    expect(await setting()).toEqual(before)
    await app.client.query('ROLLBACK')
    await app.client.query('BEGIN')
    await publish(someFlow().name, 'tick')
    expect((await app.client.query('SELECT FROM spillway.flows')).rows).toEqual([])
    await app.client.query('COMMIT')
    expect((await app.client.query('SELECT FROM spillway.flows')).rows).toEqual([])
  })

  it('may not be called by just anybody', async () => {
    const admin = await openOutside(fresh.adminUrl)
    try {
      await admin.client.query('BEGIN')
      await admin.client.query('CREATE ROLE nobody_special; SET LOCAL ROLE nobody_special')
      await expect(admin.client.query(`SELECT spillway.publish('acme', 'f', 't')`)).rejects.toThrow(
        'permission denied',
      )
    } finally {
      await admin.close()
    }
  })

  it('lets the library publish to the flow as soon as the transaction ends', async () => {
    const flow = someFlow()
    await flow.publish('first')
    await app.client.query('BEGIN')
    await publish(flow.name, 'second')
    const third = flow.publish('third')
    const elsewhere = await someFlow().publish('not held up')
    expect(elsewhere.id).toBe('1-1')
    await app.client.query('COMMIT')
    expect((await third).id).toBe('1-3')
  })
})
