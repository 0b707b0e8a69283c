import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { dirname, join } from 'node:path'
import { requirePrograms } from '../test/support/programs.js'

/** What the figures were taken on: without it they say nothing. */
export function machine(): string {
  const { postgres, redis } = requirePrograms(['postgres', 'redis'])
  const server = spawnSync(postgres, ['--version'], { encoding: 'utf8' }).stdout.trim()
  const redisVersion =
    /v=([\d.]+)/.exec(spawnSync(redis, ['--version'], { encoding: 'utf8' }).stdout)?.[1] ?? '?'
  const memory = (totalmem() / 2 ** 30).toFixed(0)
  const packages = ['pg', 'ioredis', '@electric-sql/pglite', 'fastify', 'better-sse', 'autocannon']
  return [
    `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${availableParallelism()} cores, ${memory} GB, ${type()} ${release()}`,
    `Node ${process.versions.node}, ${server}, Redis ${redisVersion}, ${packages.map((name) => `${name} ${version(name)}`).join(', ')}`,
    'PostgreSQL with fsync and synchronous_commit on, Redis with appendfsync everysec; servers, clients and database share the cores',
  ].join('\n')
}

function version(name: string): string {
  const require = createRequire(import.meta.url)
  let folder = dirname(require.resolve(name))
  while (folder !== dirname(folder)) {
    try {
      const read: { name?: string; version?: string } = JSON.parse(
        readFileSync(join(folder, 'package.json'), 'utf8'),
      )
      if (read.name === name && read.version !== undefined) return read.version
    } catch {
      // The package's root is further up.
    }
    folder = dirname(folder)
  }
  return '?'
}
