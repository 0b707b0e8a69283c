// What the bench uses of redlock, whose own types its package does not show to modules.
declare module 'redlock' {
  interface Lock {
    release(): Promise<unknown>
  }
  export default class Redlock {
    constructor(
      clients: Iterable<object>,
      settings?: {
        readonly retryCount?: number
        readonly retryDelay?: number
        readonly retryJitter?: number
      },
    )
    acquire(resources: string[], ttlMs: number): Promise<Lock>
  }
}
