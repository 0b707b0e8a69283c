import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/access/keys.js'
import { Tickets } from '../../src/access/tickets.js'
import { type Running, start } from '../http/running.js'
import { launchChromium } from '../support/chromium.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type Link, startLink } from '../support/faults/link.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type OtherSite, startOtherSite } from './other-site.js'

let database: FreshDatabase
let friend: OtherSite
let stranger: OtherSite
let running: Running
let link: Link
let browser: Browser
let token: string
let flows = 0
const contexts: BrowserContext[] = []

beforeAll(async () => {
  ;[database, friend, stranger, browser] = await Promise.all([
    freshDatabase(),
    startOtherSite(),
    startOtherSite(),
    launchChromium(),
  ])
  running = await start({ databaseUrl: database.url, auth: 'keys', corsOrigins: [friend.origin] })
  link = await startLink(running.url)
  const keys = new ApiKeys(running.spillway.database)
  token = (await keys.create({ tenant: 'acme', scopes: ['publish', 'subscribe'] })).key
})
afterEach(async () => {
  await link.heal()
  for (const context of contexts.splice(0)) await context.close()
})
afterAll(async () => {
  await browser.close()
  await link.close()
  await running.stop()
  await Promise.all([friend.close(), stranger.close()])
  await database.drop()
})

/** The page of a site, at a new flow of which there are two events. */
async function open(site: OtherSite, via: string) {
  const name = `flow-${++flows}`
  const flow = running.spillway.tenant('acme').flow(name)
  await flow.publish('tick')
  await flow.publish('tick')
  const tickets = new Tickets(running.spillway.database)
  site.ticket = async () => (await tickets.issue({ tenant: 'acme', user: 'u', flows: [name] })).ticket
  const context = await browser.newContext()
  contexts.push(context)
  const page = await context.newPage()
  const api = new URL(link.url).origin
  await page.goto(`${site.origin}/?${new URLSearchParams({ api, flow: name, token, via })}`)
  return { page, flow }
}

const listOf = (page: Page, list: 'events' | 'states') => page.locator(`#${list} li`).allTextContents()
const shows = (page: Page, list: 'events' | 'states', wanted: (items: string[]) => boolean) =>
  eventually(async () => wanted(await listOf(page, list)), { withinMs: 20_000, what: `what ${list} show` })

describe('a page of an origin that the configuration allows', () => {
  it.each(['token', 'ticket', 'EventSource'])('publishes, streams and resumes (%s)', async (via) => {
    const { page, flow } = await open(friend, via)
    await shows(page, 'events', (ids) => ids.length === 2)
    await page.getByRole('button').click()
    await shows(page, 'states', (states) => states.includes('published'))
    await shows(page, 'events', (ids) => ids.length === 3)

    // Nothing gets through while more is published.
    link.resetNew()
    link.reset()
    await shows(page, 'states', (states) => states.at(-1) !== 'open')
    await flow.publish('tick')
    await flow.publish('tick')
    await link.heal()
    await shows(page, 'events', (ids) => ids.length >= 5)
    await flow.publish('tick')
    await shows(page, 'events', (ids) => ids.length >= 6)
    expect(await listOf(page, 'events')).toEqual(['1-1', '1-2', '1-3', '1-4', '1-5', '1-6'])
    expect((await flow.history()).map(({ payload }) => payload)).toMatchObject([
      {},
      {},
      { from: friend.origin },
      {},
      {},
      {},
    ])
  })
})

describe('a page of any other origin', () => {
  it.each(['token', 'ticket', 'EventSource'])('gets nothing and writes nothing (%s)', async (via) => {
    const { page, flow } = await open(stranger, via)
    await page.getByRole('button').click()
    await shows(page, 'states', (states) => states.some((state) => state.startsWith('not published')))
    // A native EventSource gives up, the client tries again: the browser does not say what it was.
    if (via === 'EventSource') await shows(page, 'states', (states) => states.includes('closed'))
    else await shows(page, 'states', (states) => states.filter((state) => state === 'connecting').length > 1)
    expect(await listOf(page, 'states')).not.toContain('open')
    expect(await listOf(page, 'events')).toEqual([])
    expect(await flow.history()).toHaveLength(2)
  })
})
