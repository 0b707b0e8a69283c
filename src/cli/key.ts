import type { Command } from 'commander'
import type { ApiKey, Keys as ApiKeys, NewApiKey } from '../access/keys.js'
import { checkScopes, SCOPES } from '../access/principal.js'
import { keepingOf, type Spillway } from '../spillway.js'
import { wherever } from './either.js'
import { output } from './output.js'
import type { Remote } from './remote.js'

interface Shared {
  readonly tenant: string
  readonly json?: boolean
}

/** A tenant's keys, wherever they are. */
interface Keys {
  create(scopes: readonly string[], name: string | undefined): Promise<NewApiKey>
  list(): Promise<ApiKey[]>
  revoke(id: string): Promise<ApiKey>
}

const COLUMNS = ['id', 'tenant', 'name', 'scopes', 'created_at', 'revoked_at'] as const

export function addKey(program: Command): void {
  const key = program.command('key').description('Make, list and revoke API keys, for SPILLWAY_AUTH=keys.')

  shared(key.command('create'))
    .description('Make a key and print it. It is stored as a hash: nobody can print it again.')
    .requiredOption('-s, --scope <scopes>', `rights, comma-separated: ${SCOPES.join(', ')}`)
    .option('-n, --name <text>', 'what it is for')
    .addHelpText(
      'after',
      '\nExample:\n  spillway key create --tenant acme --scope publish,subscribe --name importer',
    )
    .action(async (options: Shared & { scope: string; name?: string }) => {
      const { tenant, scope, name, json } = options
      const scopes = checkScopes(scope.split(',').map((part) => part.trim()))
      await withKeys(tenant, async (keys) => {
        const made = await keys.create(scopes, name)
        output(json === true).line(made, made.key)
      })
    })

  shared(key.command('list'))
    .description('List keys, newest first, revoked ones too.')
    .addHelpText('after', '\nExample:\n  spillway key list --tenant acme')
    .action(({ tenant, json }: Shared) =>
      withKeys(tenant, async (keys) => {
        output(json === true).table(
          await keys.list(),
          COLUMNS,
          `The tenant ${tenant} has no keys: \`spillway key create\` makes one.`,
        )
      }),
    )

  shared(key.command('revoke <id>'))
    .description('End a key for good; servers heed it within 5 s.')
    .addHelpText('after', '\nExample:\n  spillway key revoke 0123456789abcdef --tenant acme')
    .action((id: string, { tenant, json }: Shared) =>
      withKeys(tenant, async (keys) => {
        const revoked = await keys.revoke(id)
        output(json === true).line(revoked, `Key ${revoked.id} is revoked.`)
      }),
    )
}

function shared(command: Command): Command {
  return command.option('-t, --tenant <name>', 'whose keys', 'default').option('--json', 'as JSON')
}

function withKeys(tenant: string, work: (keys: Keys) => Promise<void>): Promise<void> {
  const here = (spillway: Spillway) => localKeys(keepingOf(spillway).keys, tenant)
  return wherever(tenant, { here, there: remoteKeys }, work)
}

function localKeys(keys: ApiKeys, tenant: string): Keys {
  return {
    create: (scopes, name) => keys.create({ tenant, scopes, name }),
    list: () => keys.list(tenant),
    revoke: (id) => keys.revoke(tenant, id),
  }
}

function remoteKeys(remote: Remote): Keys {
  return {
    create: (scopes, name) => remote.json('POST', '/v1/admin/keys', { scopes, name }),
    list: () => remote.json('GET', '/v1/admin/keys'),
    revoke: (id) => remote.json('DELETE', `/v1/admin/keys/${encodeURIComponent(id)}`),
  }
}
