import chardet from 'chardet'

export type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252'

/** What the bytes of a file say about its encoding and its lines. */
export interface Evidence {
  /** Well-formed UTF-8 sequences of two bytes or more. */
  wellFormed: number
  /** Bytes that cannot stand where they stand in UTF-8. */
  malformed: number
  lineFeeds: number
  carriageReturns: number
}

export function noEvidence(): Evidence {
  return { wellFormed: 0, malformed: 0, lineFeeds: 0, carriageReturns: 0 }
}

/** Adds what `bytes` show. Returns how many were weighed: a sequence that is cut at their end is left over. */
export function weigh(evidence: Evidence, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    if (byte < 0x80) {
      if (byte === 0x0a) evidence.lineFeeds++
      else if (byte === 0x0d) evidence.carriageReturns++
      continue
    }
    const follow = followers(byte)
    if (follow > 0 && i + follow >= bytes.length) return i
    let sound = follow > 0
    for (let k = 1; k <= follow; k++) if (((bytes[i + k] ?? 0) & 0xc0) !== 0x80) sound = false
    if (sound) {
      evidence.wellFormed++
      i += follow
    } else evidence.malformed++
  }
  return bytes.length
}

/** How many bytes follow this first byte of a UTF-8 sequence; 0 if it cannot be one. */
function followers(byte: number): number {
  if (byte >= 0xc2 && byte < 0xe0) return 1
  if (byte >= 0xe0 && byte < 0xf0) return 2
  return byte >= 0xf0 && byte < 0xf5 ? 3 : 0
}

/** A byte order mark at the start of a file, if there is one. */
export function byteOrderMark(head: Uint8Array): { encoding: Encoding; length: number } | null {
  if (head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf) return { encoding: 'utf-8', length: 3 }
  if (head[0] === 0xff && head[1] === 0xfe) return { encoding: 'utf-16le', length: 2 }
  if (head[0] === 0xfe && head[1] === 0xff) return { encoding: 'utf-16be', length: 2 }
  return null
}

/**
 * Names the encoding of a file without a byte order mark by its beginning and by what was seen further on;
 * null for one that is not text. UTF-8 with a few broken bytes stays UTF-8: only the broken rows are refused.
 */
export function guessEncoding(head: Uint8Array, evidence: Evidence): Encoding | null {
  const nuls = [0, 0]
  let controls = 0
  for (const [i, byte] of head.entries()) {
    if (byte === 0) nuls[i % 2] = (nuls[i % 2] ?? 0) + 1
    else if (byte < 0x20 && !TEXT_CONTROLS.has(byte)) controls++
  }
  const [even = 0, odd = 0] = nuls
  if (even + odd > 1 + head.length / 1000) {
    // Latin text in UTF-16 has its NUL bytes on one side only; NUL bytes on both sides are not text.
    if (even + odd < head.length / 8 || Math.min(even, odd) > (even + odd) / 20) return null
    return odd > even ? 'utf-16le' : 'utf-16be'
  }
  if (controls > head.length / 50) return null
  if (evidence.malformed === 0 || evidence.wellFormed > 2 * evidence.malformed) return 'utf-8'
  const best = chardet.analyse(head)[0]
  return best?.name === 'UTF-8' && best.confidence >= 80 ? 'utf-8' : 'windows-1252'
}

/** Tab, line feed, vertical tab, form feed, carriage return, end of file, escape. */
const TEXT_CONTROLS = new Set([0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x1a, 0x1b])

// Node's own decoder took windows-1252 for latin1 in 20 and 22: the euro sign came out as a control character.
const WINDOWS_1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'

/** Decodes whole lines; null where the bytes are not well-formed in the encoding. */
export type Decode = (bytes: Uint8Array) => string | null

export function decoder(encoding: Encoding): Decode {
  if (encoding === 'windows-1252') {
    return (bytes) =>
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        .toString('latin1')
        .replace(/[\u0080-\u009f]/g, (c) => WINDOWS_1252[c.charCodeAt(0) - 0x80] ?? c)
  }
  const text = new TextDecoder(encoding, { fatal: true, ignoreBOM: true })
  return (bytes) => {
    try {
      return text.decode(bytes)
    } catch {
      return null
    }
  }
}
