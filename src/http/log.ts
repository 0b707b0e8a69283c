import { type Logger, pino } from 'pino'
import type { Config } from '../config.js'

/** Logs go to standard error, one JSON line each: standard output is for what was asked for. */
export function logOf({ logLevel }: Pick<Config, 'logLevel'>): Logger {
  return pino({ level: logLevel, base: { pid: process.pid } }, pino.destination({ dest: 2, sync: false }))
}
