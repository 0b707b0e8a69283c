/** Slots of a Redis Cluster. */
const SLOTS = 16384

/** CRC-16/XMODEM, bit by bit, once for each byte. Source: the Redis Cluster specification, appendix A. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc & 0xffff
})

/** What of a key says where it lies: its hash tag, if it has one that is not empty, else the whole. */
export function tagOf(key: string): string {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  return close > open + 1 ? key.slice(open + 1, close) : key
}

/** The slot of a key on a Cluster. */
export function slotOf(key: string): number {
  const tag = tagOf(key)
  let crc = 0
  for (let i = 0; i < tag.length; i++) {
    const code = tag.charCodeAt(i)
    // Beyond ASCII a character is more than one byte.
    if (code > 127) return crcOf(Buffer.from(tag)) % SLOTS
    crc = next(crc, code)
  }
  return crc % SLOTS
}

function crcOf(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) crc = next(crc, byte)
  return crc
}

function next(crc: number, byte: number): number {
  return ((crc << 8) ^ (TABLE[(crc >> 8) ^ byte] ?? 0)) & 0xffff
}
