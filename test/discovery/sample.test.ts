import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { makeSample } from '../../examples/discovery/data/make-sample.js'
import { sampleFile } from '../../examples/discovery/index.js'
import { readAll } from './tables.js'

describe('the sample file', () => {
  it('is what its script makes, byte for byte', async () => {
    const file = await readFile(sampleFile())
    expect(file.equals(Buffer.from(makeSample()))).toBe(true)
  })

  it('has the dirt that it is there for', async () => {
    const { format, rows, bad } = await readAll(sampleFile())
    expect(format).toMatchObject({ encoding: 'utf-8', delimiter: ';', lines: 3001 })
    expect(rows.length + bad.length).toBe(3000)
    const reasons = bad.map((row) => row.reason)
    for (const part of ['17 columns', '19 columns', 'the row is empty', 'broken quoting']) {
      expect(reasons.filter((reason) => reason.includes(part)).length).toBeGreaterThan(0)
    }
    const column = (name: string) => rows.map((row) => row.fields[format.columns.indexOf(name)] ?? '')
    const hosts = column('Host Name (FQDN)').flatMap((host) => host.toLowerCase().split('.')[0] || [])
    expect(new Set(hosts).size).toBeLessThan(hosts.length)
    expect(new Set(column('Env.')).size).toBeGreaterThan(8)
    expect(
      column('RAM').some((value) => / MB$/.test(value)) && column('RAM').some((value) => /GB$/.test(value)),
    ).toBe(true)
    expect(column('Owner').some((value) => /[äöüßŁø]/.test(value))).toBe(true)
    expect(
      column('EoS date').some((value) => /^\d\d\.\d\d\./.test(value)) &&
        column('EoS date').some((value) => /^\d{4}-/.test(value)),
    ).toBe(true)
  })
})
