/** Object id of `text` in every PostgreSQL. */
const TEXT_OID = 25
const HEADER_BYTES = 20

/**
 * A `text[]` parameter of long texts. To a server it goes in the binary format: as text every quote of every JSON
 * payload would be escaped here and unescaped there (bench/publish).
 */
export class TextArray {
  readonly texts: readonly string[]

  constructor(texts: readonly string[]) {
    this.texts = texts
  }

  /**
   * What the driver asks of a value. Format: `array_recv` of PostgreSQL; dimensions, whether there are nulls, type of
   * the elements, their number, index of the first, then each with its length in bytes before it.
   */
  toPostgres(): Buffer {
    const lengths = this.texts.map((text) => Buffer.byteLength(text))
    const total = lengths.reduce((sum, length) => sum + 4 + length, HEADER_BYTES)
    const bytes = Buffer.allocUnsafe(total)
    bytes.writeInt32BE(1, 0)
    bytes.writeInt32BE(0, 4)
    bytes.writeInt32BE(TEXT_OID, 8)
    bytes.writeInt32BE(this.texts.length, 12)
    bytes.writeInt32BE(1, 16)
    let at = HEADER_BYTES
    this.texts.forEach((text, i) => {
      const length = lengths[i] as number
      bytes.writeInt32BE(length, at)
      bytes.write(text, at + 4, length)
      at += 4 + length
    })
    return bytes
  }
}
