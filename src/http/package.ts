import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

// By its own name: the same file is found from the sources and from what was built.
const FILE = createRequire(import.meta.url).resolve('spillway/package.json')

/** The version of this package. */
export function packageVersion(): string {
  const { version }: { version: string } = JSON.parse(readFileSync(FILE, 'utf8'))
  return version
}

/** A path within this package. */
export function packagePath(...parts: string[]): string {
  return join(dirname(FILE), ...parts)
}
