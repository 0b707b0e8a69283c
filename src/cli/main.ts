import { Command } from 'commander'
import { packageVersion } from '../http/package.js'
import { addConfig } from './config.js'
import { addDemo } from './demo.js'
import { addFailover } from './failover.js'
import { report } from './failure.js'
import { addFlow } from './flow.js'
import { addKey } from './key.js'
import { addLimit } from './limit.js'
import { addLock } from './lock.js'
import { addMigrate } from './migrate.js'
import { addServe } from './serve.js'

const program = new Command('spillway')
  .description(
    'The real-time backbone of a multi-tenant platform: durable flow events, live updates, on Redis with PostgreSQL behind it.',
  )
  .version(packageVersion())
  .showHelpAfterError('(--help says more)')
  .addHelpText(
    'after',
    `
Exit codes: 0 done, 1 failed, 2 wrong usage. Options come from the environment: \`spillway config\` lists them.`,
  )
for (const add of [addServe, addDemo, addMigrate, addFlow, addKey, addLimit, addLock, addFailover, addConfig])
  add(program)
throwInsteadOfExit(program)

// `spillway flow list | head` closes our output early: that is the reader's right, not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = report(error, process.argv.includes('--json'))
}

/** Sub-commands made before do not inherit it. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride()
  for (const sub of command.commands) throwInsteadOfExit(sub)
}
