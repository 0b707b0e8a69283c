import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Encoding } from '../../examples/discovery/read/encoding.js'
import { DELIMITERS, type Format, guessDelimiter, inspectFile } from '../../examples/discovery/read/format.js'
import { encode, readAll, testFile, writeTable } from './tables.js'

const ENCODINGS: readonly Encoding[] = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252']
const LATIN = [...'abz09 .,;|"\t\n\r\'=äöüßéñ€–ŠÿÀ']
const WIDE = [...LATIN, '日', '🚚', '\u2028', 'Ł', '\u0a0a', '\u0d0d', '\ufeff']

const cell = (encoding: Encoding) =>
  fc.string({ unit: fc.constantFrom(...(encoding === 'windows-1252' ? LATIN : WIDE)), maxLength: 12 })

const written = fc
  .record({
    encoding: fc.constantFrom(...ENCODINGS),
    delimiter: fc.constantFrom(...DELIMITERS),
    lineEnd: fc.constantFrom('\n', '\r\n'),
    quoteAll: fc.boolean(),
    width: fc.integer({ min: 2, max: 5 }),
  })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      // The first cell begins with a letter, so that no row is an empty one.
      rows: fc.array(
        fc.tuple(
          cell(shape.encoding).map((text) => `x${text}`),
          fc.array(cell(shape.encoding), { minLength: shape.width - 1, maxLength: shape.width - 1 }),
        ),
        { minLength: 1, maxLength: 250 },
      ),
    }),
  )
  .map(({ shape, rows }) => ({ shape, rows: rows.map(([first, rest]) => [first, ...rest]) }))

async function fileOf({ shape, rows }: typeof written extends fc.Arbitrary<infer T> ? T : never) {
  const bytes = encode(writeTable(rows, shape.delimiter, shape.lineEnd, shape.quoteAll), shape.encoding)
  const format: Format = {
    encoding: shape.encoding,
    delimiter: shape.delimiter,
    lineBreak: 'lf',
    columns: Array.from({ length: shape.width }, (_, i) => `c${i}`),
    offset: 0,
    row: 1,
    bytes: bytes.length,
    lines: null,
  }
  return { path: await testFile(bytes), format }
}

describe('reading a table', () => {
  it('reads back any table in any delimiter and encoding', async () => {
    await fc.assert(
      fc.asyncProperty(written, async (table) => {
        const { path, format } = await fileOf(table)
        const read = await readAll(path, format)
        expect(read.bad).toEqual([])
        expect(read.rows.map((row) => row.fields)).toEqual(table.rows)
      }),
      { numRuns: 150 },
    )
  })

  it('reads the same rows from any place on, whatever the size of the batches', async () => {
    await fc.assert(
      fc.asyncProperty(written, fc.integer({ min: 100, max: 300 }), fc.nat(), async (table, lines, pick) => {
        const { path, format } = await fileOf(table)
        const whole = await readAll(path, format, 5000)
        const parts = await readAll(path, format, lines)
        expect(parts.rows).toEqual(whole.rows)
        const place = parts.places[pick % parts.places.length]
        const rest = await readAll(path, format, lines, place)
        expect(rest.rows).toEqual(whole.rows.filter((row) => row.row >= (place?.row ?? 0)))
      }),
      { numRuns: 60 },
    )
  })

  it('never throws and loses no line, whatever the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.constantFrom(...ENCODINGS),
        async (bytes, encoding) => {
          const path = await testFile(bytes)
          const format: Format = {
            encoding,
            delimiter: ',',
            lineBreak: 'lf',
            columns: ['a', 'b'],
            offset: 0,
            row: 1,
            bytes: bytes.length,
            lines: null,
          }
          const { rows, bad, places } = await readAll(path, format)
          const numbers = [...rows, ...bad].map(({ row }) => row)
          expect(new Set(numbers).size).toBe(numbers.length)
          expect(places.at(-1)?.offset).toBe(bytes.length)
        },
      ),
      { numRuns: 150 },
    )
  })
})

describe('a broken row', () => {
  const HEADER = 'host,os,cpu\n'

  it.each([
    ['too few columns', 'a,b', '2 columns instead of 3'],
    ['too many columns', 'a,b,c,d', '4 columns instead of 3'],
    ['nothing', '', 'the row is empty'],
    ['only delimiters', ',,', 'the row is empty'],
    ['a quote never closed', 'a,"b,c', 'broken quoting: a quote is opened and never closed'],
    ['a quote within a field', 'a,b"c,d', 'broken quoting: a quote stands where none may stand'],
    ['text after a closing quote', 'a,"b"c,d', 'broken quoting: a quote stands where none may stand'],
    ['a NUL character', 'a,b\0,c', 'the row has a NUL character'],
  ])('with %s is kept with its number and reason, its neighbours are read', async (_, line, reason) => {
    const path = await testFile(`${HEADER}h1,linux,1\n${line}\nh2,"li""nux",2\nh3,aix,3\n`)
    const { rows, bad } = await readAll(path)
    expect(rows.map((row) => [row.row, row.fields[0]])).toEqual([
      [2, 'h1'],
      [4, 'h2'],
      [5, 'h3'],
    ])
    expect(bad).toEqual([{ row: 3, reason, raw: line.replaceAll('\0', '\ufffd') }])
  })

  it('with bytes that are not UTF-8 costs only itself', async () => {
    const good = encode('h1,größe,1\nh2,Österreich,2\nh3,ü,3\n', 'utf-8')
    const path = await testFile(
      Buffer.concat([Buffer.from(HEADER), good, Buffer.from([0x68, 0x2c, 0xff, 0x2c, 0x34, 0x0a]), good]),
    )
    const { rows, bad, format } = await readAll(path)
    expect(format.encoding).toBe('utf-8')
    expect(rows).toHaveLength(6)
    expect(bad).toMatchObject([{ row: 5, reason: 'the bytes are not valid in the encoding of the file' }])
  })

  it('longer than 1 MiB is skipped without being held', async () => {
    const path = await testFile(`${HEADER}h1,linux,1\n${'x'.repeat(3 << 20)},b,c\nh2,linux,2\n`)
    const { rows, bad } = await readAll(path)
    expect(rows.map((row) => row.row)).toEqual([2, 4])
    expect(bad).toMatchObject([{ row: 3, reason: 'the line is longer than 1 MiB' }])
    expect(bad[0]?.raw.length).toBeLessThanOrEqual(10_000)
  })

  it('with an open quote at the end of one batch does not swallow the next', async () => {
    const lines = Array.from({ length: 600 }, (_, i) => (i % 97 === 96 ? `h${i},"x,1` : `h${i},"a\nb",1`))
    const path = await testFile(`${HEADER}${lines.join('\n')}\n`)
    const { rows, bad } = await readAll(path, undefined, 100)
    expect(bad).toHaveLength(6)
    expect(rows).toHaveLength(594)
    expect(rows.every((row) => row.fields[1] === 'a\nb')).toBe(true)
  })
})

describe('detection', () => {
  const ROWS = [
    ['Servername', 'Größe', 'Bemerkung'],
    ['srv-1', '16,5 GB', 'läuft, noch; ja'],
    ['srv-2', '8 GB', 'für Müller & Söhne – 5 €'],
    ['srv-3', '4 GB', 'a|b'],
  ]

  it.each(DELIMITERS.flatMap((delimiter) => ENCODINGS.map((encoding) => [delimiter, encoding] as const)))(
    'tells %j in %s',
    async (delimiter, encoding) => {
      const path = await testFile(encode(writeTable(ROWS, delimiter, '\r\n'), encoding))
      const { format, rows } = await readAll(path)
      expect(format).toMatchObject({ delimiter, encoding, columns: ROWS[0], row: 2 })
      expect(rows.map((row) => row.fields)).toEqual(ROWS.slice(1))
    },
  )

  it.each(['utf-8', 'utf-16le', 'utf-16be'] as const)(
    'takes a byte order mark of %s off',
    async (encoding) => {
      const path = await testFile(encode(`\ufeff${writeTable(ROWS, ';', '\n')}`, encoding))
      const { format, rows } = await readAll(path)
      expect(format).toMatchObject({ encoding, columns: ROWS[0] })
      expect(rows).toHaveLength(3)
    },
  )

  it('sees the first umlaut far down in the file', async () => {
    const ascii = `host,note\n${'srv,plain\n'.repeat(200_000)}`
    const path = await testFile(
      Buffer.concat([Buffer.from(ascii), encode('srv,Müller für Köln\n', 'windows-1252')]),
    )
    const { rows, bad, format } = await readAll(path)
    expect(format).toMatchObject({ encoding: 'windows-1252', lines: 200_002 })
    expect(bad).toEqual([])
    expect(rows.at(-1)?.fields[1]).toBe('Müller für Köln')
  })

  it('is not misled by a character that two reads share', async () => {
    // The first MiB ends within the two bytes of the ü.
    const head = 'host,note\n'
    const filler = `${'x'.repeat(99)}\n`.repeat(10485).slice(0, 2 ** 20 - head.length - 1)
    const path = await testFile(`${head}${filler}ü,y\n`)
    expect(await inspectFile(path)).toMatchObject({ encoding: 'utf-8' })
  })

  it('believes a declared separator and old line breaks', async () => {
    expect(await inspectFile(await testFile('sep=|\na,b|c\n1,2|3\n'))).toMatchObject({
      delimiter: '|',
      columns: ['a,b', 'c'],
      row: 3,
    })
    const { rows } = await readAll(await testFile('a,b\r1,2\r3,4\r'))
    expect(rows.map((row) => row.fields)).toEqual([
      ['1', '2'],
      ['3', '4'],
    ])
  })

  it('leaves delimiters within quotes out', () => {
    expect(guessDelimiter(['a;b', '"x,y,z";1', '"u,v,w";2'])).toBe(';')
  })

  it('gives every column a name of its own', async () => {
    const { columns } = await inspectFile(await testFile('a,,a,"b\nc"\n1,2,3,4\n'))
    expect(columns).toEqual(['a', 'column 2', 'a (2)', 'b c'])
  })
})

describe('a file that cannot be used', () => {
  it.each([
    ['an empty file', '', 'FILE_EMPTY'],
    ['nothing but line breaks', '\n\n\r\n', 'FILE_EMPTY'],
    ['a header without rows', 'host,os,cpu\n', 'FILE_HEADER_ONLY'],
    [
      'a picture',
      Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk', 'base64'),
      'FILE_BINARY',
    ],
    ['a workbook', Buffer.from('PK\u0003\u0004\u0014\u0000\u0006\u0000workbook', 'latin1'), 'FILE_BINARY'],
    ['a table with too many columns', `${'a,'.repeat(501)}\n1\n`, 'TOO_MANY_COLUMNS'],
  ])('is refused: %s', async (_, content, code) => {
    await expect(inspectFile(await testFile(content))).rejects.toMatchObject({ name: 'DiscoveryError', code })
  })

  it('is refused: a folder, and a file that is not there', async () => {
    await expect(inspectFile(await testFile('x').then((path) => `${path}/..`))).rejects.toMatchObject({
      name: 'DiscoveryError',
    })
    await expect(inspectFile('/')).rejects.toMatchObject({ code: 'FILE_NOT_A_FILE' })
    await expect(inspectFile(`${await testFile('x')}.none`)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
  })
})
