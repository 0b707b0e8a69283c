import { describe, expect, test } from 'vitest'
import { explainConfig, OPTIONS, type OptionName, readConfig } from '../src/config.js'
import { SpillwayError } from '../src/errors.js'

type Env = Record<string, string | undefined>

const entries = Object.entries(OPTIONS) as [OptionName, (typeof OPTIONS)[OptionName]][]
const integers = entries.flatMap(([name, row]) => (row.kind === 'integer' ? [{ name, ...row }] : []))
const choices = entries.flatMap(([name, row]) => (row.kind === 'choice' ? [{ name, ...row }] : []))

function refusal(env: Env): string {
  try {
    readConfig(env)
  } catch (error) {
    expect(error).toBeInstanceOf(SpillwayError)
    expect((error as SpillwayError).code).toBe('CONFIG_INVALID')
    const { message } = error as SpillwayError
    expect(message).not.toContain('\n')
    return message
  }
  throw new Error('nothing was refused')
}

describe('the configuration', () => {
  test('has a default for every option, within the option’s own bounds', () => {
    const config = readConfig({})
    expect(Object.keys(config)).toEqual(Object.keys(OPTIONS))
    for (const { name, min, max } of integers) {
      expect(config[name]).toBeGreaterThanOrEqual(min)
      expect(config[name]).toBeLessThanOrEqual(max)
    }
    expect(config).toMatchObject({ port: 7070, host: '127.0.0.1', auth: 'none', corsOrigins: [] })
  })

  test.each(integers)('$env takes whole numbers from $min to $max', ({ name, env, min, max }) => {
    expect(readConfig({ [env]: String(min) })[name]).toBe(min)
    expect(readConfig({ [env]: String(max) })[name]).toBe(max)
    const bad = [min - 1, max + 1, '1.5', '1e3', '0x10', ' 1', 'x', '-0', '١', 'Infinity', `${max}0`]
    for (const value of bad) expect(refusal({ [env]: String(value) })).toContain(env)
  })

  test.each(choices)('$env takes its choices and nothing else', ({ name, env, choices: allowed }) => {
    for (const value of allowed) expect(readConfig({ [env]: value })[name]).toBe(value)
    for (const value of ['x', allowed[0].toUpperCase(), `${allowed[0]} `]) {
      expect(refusal({ [env]: value })).toContain(env)
    }
  })

  test('reads lists by comma, without empty parts', () => {
    const { corsOrigins } = readConfig({ SPILLWAY_CORS_ORIGINS: ' https://a.example, ,https://b.example,' })
    expect(corsOrigins).toEqual(['https://a.example', 'https://b.example'])
  })

  test('reads the limits of single tenants', () => {
    const text = '{"acme":{"maxBodyBytes":1024,"maxConnections":1},"ä b":{},"__proto__":{"maxConnections":2}}'
    const { tenantLimits } = readConfig({ SPILLWAY_TENANT_LIMITS: text })
    expect(Object.entries(tenantLimits)).toEqual([
      ['acme', { maxBodyBytes: 1024, maxConnections: 1 }],
      ['ä b', {}],
      ['__proto__', { maxConnections: 2 }],
    ])
    expect(readConfig({}).tenantLimits).toEqual({})
  })

  test.each([
    ['{', 'not JSON'],
    ['{"a":\n\n}', 'not JSON'],
    ['[]', 'an object'],
    ['null', 'an object'],
    ['7', 'an object'],
    ['{"a":7}', 'an object of limits for "a"'],
    ['{"a":[]}', 'an object of limits for "a"'],
    ['{"":{}}', 'cannot be a tenant'],
    ['{"a\\n":{}}', 'cannot be a tenant'],
    [`{"${'x'.repeat(129)}":{}}`, 'cannot be a tenant'],
    ['{"a":{"maxBody":1}}', 'limits are maxBodyBytes, maxConnections'],
    ['{"a":{"toString":1}}', 'limits are maxBodyBytes, maxConnections'],
    ['{"a":{"maxBodyBytes":1023}}', 'from 1024 to 268435456 as maxBodyBytes of "a"'],
    ['{"a":{"maxBodyBytes":268435457}}', 'from 1024 to 268435456'],
    ['{"a":{"maxBodyBytes":"2048"}}', 'whole number'],
    ['{"a":{"maxBodyBytes":2048.5}}', 'whole number'],
    ['{"a":{"maxBodyBytes":null}}', 'whole number'],
    ['{"a":{"maxConnections":0}}', 'from 1 to 10000000 as maxConnections of "a"'],
    [JSON.stringify(Object.fromEntries(Array.from({ length: 10_001 }, (_, n) => [`t${n}`, {}]))), '10000'],
  ])('refuses limits of single tenants such as %.40s', (text, why) => {
    const message = refusal({ SPILLWAY_TENANT_LIMITS: text })
    expect(message).toMatch(/^SPILLWAY_TENANT_LIMITS /)
    expect(message).toContain(why)
    expect(message.length).toBeLessThan(400)
  })

  test('takes an empty variable for one that is not set', () => {
    for (const [name, { env }] of entries) {
      expect(readConfig({ [env]: '' })[name]).toEqual(readConfig({})[name])
      expect(readConfig({ [env]: undefined })[name]).toEqual(readConfig({})[name])
    }
  })

  test('stops at a name it does not know, and leaves the names of others alone', () => {
    expect(refusal({ SPILLWAY_PROT: '1' })).toContain('SPILLWAY_PROT')
    expect(refusal({ SPILLWAY_: '1' })).toContain('SPILLWAY_')
    expect(readConfig({ PATH: '/bin', PORT: '1', spillway_port: '1', DATABASE_URLS: 'x' })).toEqual(
      readConfig({}),
    )
  })

  test('says where every value came from', () => {
    const explained = explainConfig({ SPILLWAY_PORT: '1' })
    expect(explained.map(({ name }) => name)).toEqual(Object.keys(OPTIONS))
    const from = Object.fromEntries(explained.map((entry) => [entry.name, entry.from]))
    expect(from).toMatchObject({ port: 'environment', host: 'default' })
  })

  test('names each variable once, says what it is, and marks what must not be shown', () => {
    const names = entries.map(([, { env }]) => env)
    expect(new Set(names).size).toBe(names.length)
    for (const [, row] of entries) expect(row.says).toMatch(/^[A-Z].*\.$/)
    const secret = entries.filter(([, row]) => 'secret' in row && row.secret).map(([name]) => name)
    expect(secret).toEqual(expect.arrayContaining(['databaseUrl', 'listenUrl', 'redisUrl', 'jwtSecret']))
  })

  test('never repeats a secret in a refusal', () => {
    expect(refusal({ SPILLWAY_JWT_SECRETS: 'hunter2' })).not.toContain('hunter2')
  })
})
