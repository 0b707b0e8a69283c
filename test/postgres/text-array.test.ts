import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ServerDatabase } from '../../src/postgres/server.js'
import { TextArray } from '../../src/postgres/text-array.js'
import { freshDatabase } from '../support/database.js'

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let database: ServerDatabase
beforeAll(async () => {
  fresh = await freshDatabase()
  database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

it('arrives as the same texts, whatever they are made of', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((made) => !made.includes('\0'))
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 20 }), async (texts) => {
      const rows = await database.query<{ text: string }>('SELECT text FROM unnest($1::text[]) AS t (text)', [
        new TextArray(texts),
      ])
      expect(rows.map((row) => row.text)).toEqual(texts)
    }),
    { numRuns: 60 },
  )
})
