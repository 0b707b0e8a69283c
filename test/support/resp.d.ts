export type RedisReply = string | number | null | readonly RedisReply[]
/** Speaks RESP on a bare socket: what the tests say to a server must not pass through what they test. */
export declare function askOnce(
  port: number,
  auth: readonly string[],
  command: readonly string[],
): Promise<RedisReply>
