import type { Command } from 'commander'
import { readConfig } from '../config.js'
import { SpillwayError } from '../errors.js'
import { migrate } from '../postgres/migrate.js'
import { openDatabase } from '../postgres/open.js'
import { modeOf } from '../stores.js'
import { output } from './output.js'

export function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description('Bring the schema of the database up to date, and show what was applied.')
    .option('--json', 'as a JSON array')
    .addHelpText(
      'after',
      `
Servers do the same at their start; this is for who wants to do it before, or as another database user.

Example:
  DATABASE_URL=postgres://owner:secret@db/app spillway migrate`,
    )
    .action(async ({ json }: { json?: boolean }) => {
      const config = readConfig(process.env)
      if (modeOf(config) === 'redis') {
        throw new SpillwayError(
          'NO_DURABLE_STORE',
          'Redis is the only store, and has no schema: DATABASE_URL is not set',
        )
      }
      const database = await openDatabase(config)
      try {
        const applied = (await migrate(database)).map(({ number, name }) => ({ number, name }))
        output(json === true).table(
          applied,
          ['number', 'name'],
          'The schema is up to date: nothing to apply.',
        )
      } finally {
        await database.close()
      }
    })
}
