import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { basename, delimiter, dirname, join } from 'node:path'

/** Folders of executables that lead into a container are known by this. */
const MARK = 'spillway-tests-docker-'
/** In the environment: whom a container runs as, where that is not the user who starts it. */
const USER = 'SPILLWAY_TESTS_USER'

/**
 * Puts Debian's packages into an image, and an executable for each program before all others on PATH, which runs
 * it from there. Answers false where Docker is not to be had, or is not on Linux: elsewhere a container's
 * loopback address is not this machine's.
 */
export function installInDocker(packages: readonly string[], programs: readonly string[]): boolean {
  if (process.platform !== 'linux' || docker('version').status !== 0) return false
  const image = buildImage(packages)
  if (image === undefined) return false
  const folder = mkdtempSync(join(tmpdir(), MARK))
  for (const program of programs) {
    writeFileSync(join(folder, program), entry(image, program), { mode: 0o755 })
  }
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  // Processes of the tests inherit it.
  process.env.PATH = [folder, process.env.PATH].join(delimiter)
  return true
}

/** Whether this executable is one of those. */
export function isInDocker(command: string): boolean {
  return basename(dirname(command)).startsWith(MARK)
}

/** What makes such an executable run as somebody else; who starts it needs the rights of Docker. */
export function dockerUser({ uid, gid }: { uid: number; gid: number }): NodeJS.ProcessEnv {
  return { ...process.env, [USER]: `${uid}:${gid}` }
}

/** Name of the container that the process with this id has started. */
export function containerOf(pid: number): string {
  return `spillway-tests-${pid}`
}

/** Sends a signal to the program itself: `docker run` passes on neither SIGKILL nor SIGSTOP. */
export function signalContainer(pid: number, signal: NodeJS.Signals): void {
  docker('kill', '--signal', signal, containerOf(pid))
}

/** The image's name, which says what is in it: made once on a machine. Undefined: it cannot be made. */
function buildImage(packages: readonly string[]): string | undefined {
  const file = `FROM debian:bookworm-slim
RUN apt-get update \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${packages.join(' ')} \\
 && rm -rf /var/lib/apt/lists/* \\
 && for program in /usr/lib/postgresql/*/bin/*; do ln -sf "$program" /usr/local/bin/; done
`
  const image = `spillway-tests:${createHash('sha256').update(file).digest('hex').slice(0, 16)}`
  if (docker('image', 'inspect', image).status === 0) return image
  process.stderr.write(`Putting ${packages.join(' ')} into a Docker image, for the tests\n`)
  const built = spawnSync('docker', ['build', '--tag', image, '-'], {
    input: file,
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  return built.status === 0 ? image : undefined
}

/**
 * A shell script. `exec` keeps its process id, which is in the container's name; the files of tests lie in the
 * temporary folder, under the same path on both sides. initdb wants to know the name of who runs it.
 */
function entry(image: string, program: string): string {
  const { uid, gid } = userInfo()
  const options = [
    '--rm --network host',
    '--name "spillway-tests-$$"',
    `--user "\${${USER}:-${uid}:${gid}}"`,
    `--volume '${tmpdir()}:${tmpdir()}' --volume /etc/passwd:/etc/passwd:ro --workdir "$(pwd)" --env HOME=/tmp`,
  ].join(' ')
  if (program !== 'chromium') return `#!/bin/sh\nexec docker run ${options} ${image} ${program} "$@"\n`
  // The browser is driven over two more pipes, which Docker does not pass on: they travel as its input and output.
  const inside = `exec chromium "$@" 3<&0 4>&1 >&2`
  return `#!/bin/sh\nexec docker run --interactive ${options} ${image} sh -c '${inside}' chromium "$@" <&3 >&4\n`
}

function docker(...args: string[]) {
  return spawnSync('docker', args, { stdio: 'ignore' })
}
