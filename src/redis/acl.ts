import { KEYS, type KeyRow } from './key-table.js'
import { patternOf } from './keys.js'

/** Every command that is sent, by a connection or within a script. Another one is refused to a user of these rules. */
export const COMMANDS = [
  // Connections, and who it is that answers.
  ...['ping', 'info', 'select', 'client|setname', 'cluster|slots', 'cluster|info', 'asking'],
  ...['eval', 'evalsha', 'script|load'],
  ...['publish', 'spublish', 'subscribe', 'unsubscribe', 'ssubscribe', 'sunsubscribe', 'pubsub|numsub'],
  ...['time', 'type', 'scan', 'del', 'exists', 'pexpire', 'pexpireat', 'pttl'],
  ...['get', 'getex', 'mget', 'set', 'incrby'],
  ...['hdel', 'hget', 'hincrby', 'hmget', 'hset', 'hsetnx'],
  ...['xadd', 'xdel', 'xgroup|create', 'xgroup|setid', 'xlen', 'xrange', 'xrevrange', 'xtrim'],
  ...[
    'zadd',
    'zcard',
    'zcount',
    'zrange',
    'zrangebyscore',
    'zrem',
    'zremrangebyrank',
    'zremrangebyscore',
    'zrevrange',
    'zscore',
  ],
] as const

/** What `ACL SETUSER` needs, beside a name and a password, for a user that can do what Spillway does and no more. */
export function aclRules(): string[] {
  const rows: [keyof typeof KEYS, KeyRow][] = Object.entries(KEYS) as [keyof typeof KEYS, KeyRow][]
  const globs = rows.map(([name, { type }]) => `${type === 'channel' ? '&' : '~'}${globOf(patternOf(name))}`)
  return ['resetkeys', 'resetchannels', '-@all', ...COMMANDS.map((command) => `+${command}`), ...globs]
}

function globOf(pattern: string): string {
  return pattern.replace(/\{[^}]*\}/, '{*}').replace(/<[^>]*>/g, '*')
}
