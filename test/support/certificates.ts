import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { requirePrograms } from './programs.js'

/** An authority of its own, and what it signs: PEM files in a folder. */
export class Authority {
  /** File of its certificate. */
  readonly ca: string
  readonly #folder: string
  readonly #key: string

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'spillway-ca-'))
    // Servers may run as another user.
    chmodSync(this.#folder, 0o755)
    this.ca = join(this.#folder, 'ca.pem')
    this.#key = join(this.#folder, 'ca.key')
    openssl(
      'req',
      '-x509',
      ...KEY,
      '-keyout',
      this.#key,
      '-out',
      this.ca,
      '-days',
      '2',
      '-subj',
      '/CN=Authority',
    )
  }

  /** A certificate for a server of this name, `IP:127.0.0.1` or `DNS:name`, and its key. */
  sign(name: string): { readonly cert: string; readonly key: string } {
    const at = (end: string) => join(this.#folder, `${name.replace(/\W/g, '-')}.${end}`)
    const [cert, key, request, extensions] = [at('pem'), at('key'), at('csr'), at('ext')]
    openssl('req', '-new', ...KEY, '-keyout', key, '-out', request, '-subj', '/CN=server')
    writeFileSync(extensions, `subjectAltName=${name}\n`)
    const by = ['-CA', this.ca, '-CAkey', this.#key, '-set_serial', '2']
    openssl('x509', '-req', '-in', request, ...by, '-out', cert, '-days', '2', '-extfile', extensions)
    chmodSync(key, 0o644)
    return { cert, key }
  }

  /** Configuration of a Redis that listens on this port too, over TLS, and speaks TLS to other servers. */
  redisLines(port: number, name = 'IP:127.0.0.1'): Readonly<Record<string, string>> {
    const { cert, key } = this.sign(name)
    return {
      'tls-port': String(port),
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-ca-cert-file': this.ca,
      'tls-auth-clients': 'no',
      'tls-replication': 'yes',
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

const KEY = ['-newkey', 'rsa:2048', '-nodes']

function openssl(...args: readonly string[]): void {
  const { status, stderr } = spawnSync(requirePrograms(['openssl']).openssl, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`)
}
