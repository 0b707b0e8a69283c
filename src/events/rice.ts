/** Golomb-Rice codes: a number's multiples of 2^width in unary, then the rest in `width` bits. */

/** Bits that a number takes. */
export function riceBits(value: number, width: number): number {
  return Math.floor(value / (1 << width)) + 1 + width
}

/** Appends the codes one after another, filled up with zeros to whole bytes. */
export function writeRice(bytes: number[], values: readonly number[], width: number): void {
  let byte = 0
  let room = 8
  const push = (bit: number) => {
    room -= 1
    byte |= bit << room
    if (room > 0) return
    bytes.push(byte)
    byte = 0
    room = 8
  }
  for (const value of values) {
    for (let ones = value >> width; ones > 0; ones--) push(1)
    push(0)
    for (let bit = width - 1; bit >= 0; bit--) push((value >> bit) & 1)
  }
  if (room < 8) bytes.push(byte)
}

/** Reads `count` numbers; undefined unless the bytes hold exactly these. */
export function readRice(bytes: Buffer, count: number, width: number): number[] | undefined {
  const values: number[] = []
  let at = 0
  const next = () => {
    const bit = ((bytes[at >> 3] ?? 0) >> (7 - (at & 7))) & 1
    at += 1
    return bit
  }
  for (let i = 0; i < count; i++) {
    let value = 0
    while (next() === 1) value += 1
    for (let bit = 0; bit < width; bit++) value = value * 2 + next()
    values.push(value)
  }
  return Math.ceil(at / 8) === bytes.length ? values : undefined
}
