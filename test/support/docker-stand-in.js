#!/usr/bin/env node
// Stands in for `docker` where no engine runs: notes what it is asked for in the folder STAND_IN, and runs the programs
// of this machine that stand in STAND_IN_PROGRAMS. What it runs is no child of the caller, and gets no signal but
// by `kill`, as with the real one.
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.env.STAND_IN
const programs = JSON.parse(process.env.STAND_IN_PROGRAMS)
const args = process.argv.slice(2)
const [verb] = args
const input = verb === 'build' ? readFileSync(0, 'utf8') : undefined
appendFileSync(join(folder, 'asked'), `${JSON.stringify({ args, input })}\n`)

if (verb === 'image') process.exit(existsSync(join(folder, args[2])) ? 0 : 1)
if (verb === 'build') writeFileSync(join(folder, args[2]), '')
if (verb === 'kill') {
  try {
    process.kill(
      Number(readFileSync(join(folder, args.at(-1)), 'utf8')),
      args.at(-2) === 'kill' ? 'SIGKILL' : args[2],
    )
  } catch {
    process.exit(1)
  }
}
if (verb === 'run') run(args.slice(1))

function run(words) {
  const given = {}
  const flags = new Set(['--rm', '--interactive'])
  while (words[0].startsWith('--')) {
    const name = words.shift()
    if (!flags.has(name)) given[name] = words.shift()
  }
  const [, program, ...rest] = words
  const [uid, gid] = given['--user'].split(':').map(Number)
  // A shell line names its program as it stands in the image.
  const shellLine = program === 'sh' && rest[1].replace('exec chromium', `exec '${programs.chromium}'`)
  const child = spawn(
    shellLine ? '/bin/sh' : programs[program],
    shellLine ? ['-c', shellLine, ...rest.slice(2)] : rest,
    {
      uid,
      gid,
      cwd: given['--workdir'],
      detached: true,
      stdio: 'inherit',
    },
  )
  const name = join(folder, given['--name'])
  writeFileSync(name, String(child.pid))
  child.once('exit', (code) => {
    rmSync(name)
    process.exit(code ?? 137)
  })
}
