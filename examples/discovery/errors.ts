import { SpillwayError } from 'spillway'

/** Why an import cannot go on; stable, programs match on it. */
export type DiscoveryCode =
  | 'FILE_NOT_FOUND'
  | 'FILE_NOT_A_FILE'
  | 'FILE_UNREADABLE'
  | 'FILE_EMPTY'
  | 'FILE_BINARY'
  | 'FILE_HEADER_ONLY'
  | 'FILE_TOO_LARGE'
  | 'FILE_CHANGED'
  | 'TOO_MANY_COLUMNS'
  | 'NO_USABLE_ROWS'
  | 'MAPPING_INVALID'
  | 'MAPPING_WITHOUT_IDENTITY'
  | 'RUN_BUSY'
  | 'RUN_UNKNOWN'
  | 'TOO_MANY_IMPORTS'

/** An error of the discovery example: the code says what, the message says it to a person in one sentence. */
export class DiscoveryError extends Error {
  override readonly name = 'DiscoveryError'
  readonly code: DiscoveryCode

  constructor(code: DiscoveryCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** The `code` of a system error, as Node gives it. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Errors: `ABORTED` once the signal has spoken. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new SpillwayError('ABORTED', 'The import was stopped; it can go on later', { cause: signal.reason })
}
