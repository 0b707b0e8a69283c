import { describe, expect, test } from 'vitest'
import { aborted, CODES, type Code, SpillwayError } from '../src/errors.js'

const codes = Object.keys(CODES) as Code[]

describe('an error', () => {
  test.each(codes)('%s has the status and the hope of its table row', (code) => {
    const error = new SpillwayError(code, 'what happened')
    expect(error).toMatchObject({ name: 'SpillwayError', code, message: 'what happened', ...CODES[code] })
    expect(error).toBeInstanceOf(Error)
    expect(error.retryAfterMs).toBeUndefined()
    expect('cause' in error).toBe(false)
  })

  test('has a stable code and a status that HTTP knows; what a client did wrong is never temporary', () => {
    for (const code of codes) {
      const { status, temporary } = CODES[code]
      expect(code).toMatch(/^[A-Z][A-Z_]*$/)
      expect(status).toBeGreaterThanOrEqual(400)
      expect(status).toBeLessThan(600)
      // Closed is closed: a repeat would be refused again.
      if (status === 503) expect(temporary).toBe(code !== 'CLOSED')
      // A busy lock is nobody's mistake.
      if (status < 500 && ![408, 429].includes(status)) expect(temporary).toBe(code === 'LOCK_BUSY')
    }
  })

  test('carries its cause and when to come again', () => {
    const cause = new Error('root')
    const error = new SpillwayError('STORE_UNAVAILABLE', 'away', { cause, retryAfterMs: 500 })
    expect(error.cause).toBe(cause)
    expect(error.retryAfterMs).toBe(500)
  })

  test('of an aborted call has the signal’s own reason', () => {
    const reason = new Error('enough')
    expect(aborted(AbortSignal.abort(reason))).toMatchObject({ code: 'ABORTED', cause: reason })
  })
})
