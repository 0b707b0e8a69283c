import type { Command } from 'commander'
import { type ConfigEntry, explainConfig } from '../config.js'
import { output } from './output.js'

export function addConfig(program: Command): void {
  program
    .command('config')
    .description('Show every option, its value and where it came from. Secrets are masked.')
    .option('--json', 'as a JSON array')
    .option('-v, --verbose', 'with what each option says')
    .addHelpText('after', '\nExample:\n  SPILLWAY_PORT=8080 spillway config')
    .action(({ json, verbose }: { json?: boolean; verbose?: boolean }) => {
      const rows = explainConfig(process.env).map(shown)
      const columns = [
        'env',
        'value',
        'from',
        'unit',
        ...(verbose ? (['default', 'says'] as const) : []),
      ] as const
      output(json === true).table(rows, columns, '')
    })
}

function shown({ name, env, value, from, row }: ConfigEntry) {
  const text = shownValue(value)
  return {
    name,
    env,
    value: row.secret && text !== '' ? '********' : text,
    from,
    unit: row.unit ?? '',
    default: row.fallback,
    says: row.says,
  }
}

/** As it stands in the environment. */
function shownValue(value: ConfigEntry['value']): string {
  if (Array.isArray(value)) return value.join(',')
  if (typeof value !== 'object') return String(value)
  return Object.keys(value).length === 0 ? '' : JSON.stringify(value)
}
