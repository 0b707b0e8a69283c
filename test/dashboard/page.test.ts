import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SpillwayClient } from '../../client/index.js'
import { ApiKeys } from '../../src/access/keys.js'
import { type Running, startEmbedded } from '../client/running.js'
import { eventually } from '../support/eventually.js'
import { closeBrowser, openPage, shot } from './browser.js'
import { namelessControls, weakContrasts } from './looks.js'

let running: Running
let client: SpillwayClient
const contexts: { close(): Promise<void> }[] = []

beforeAll(async () => {
  running = await startEmbedded({ retentionEvents: 2000 })
  client = new SpillwayClient({ baseUrl: running.url })
})
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close()
})
afterAll(async () => {
  await closeBrowser()
  await running.remove()
})

async function open(path: string, options: Parameters<typeof openPage>[1] = {}) {
  const page = await openPage(`${running.url}${path}`, options)
  contexts.push(page.context())
  return page
}

/** Ids in the log, oldest first. */
const idsOf = async (page: Awaited<ReturnType<typeof open>>) =>
  (await page.locator('.entry-id').allTextContents()).reverse()

describe('the page', () => {
  test('lists flows as they appear and opens the newest', async () => {
    await client.publish('first', 'phase_started', { phase: 'export' })
    const page = await open('/')
    await page.getByRole('heading', { level: 1, name: 'first' }).waitFor()
    const list = page.getByRole('navigation', { name: 'Flows' })
    await client.publish('second', 'phase_started', { phase: 'export' })
    await client.setState('second', { status: 'running', current_phase: 'export', progress_percentage: 40 })
    const entry = list.getByRole('link', { name: /^second/ })
    await entry.waitFor()
    await list.getByRole('progressbar', { name: 'Progress of second' }).waitFor()
    await list.getByRole('searchbox').fill('seco')
    await eventually(async () => (await list.getByRole('listitem').count()) === 1)
    await list.getByRole('combobox').selectOption('failed')
    await list.getByText('No flow fits the filter.').waitFor()
    await list.getByRole('combobox').selectOption('running')
    await entry.click()
    await page.getByRole('heading', { level: 1, name: 'second' }).waitFor()
    expect(await entry.getAttribute('aria-current')).toBe('page')
    expect(page.problems).toEqual([])
  })

  test('shows an event without a reload, and what is in it', async () => {
    const page = await open('/#/flows/live')
    await page.getByText('No event yet.').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    await client.publish('live', 'note_taken', { text: '<img src=x onerror=alert(1)>', n: 7 })
    const row = page.locator('summary', { hasText: 'note_taken' })
    await row.waitFor()
    await row.focus()
    await page.keyboard.press('Enter')
    await page.locator('pre', { hasText: '"n": 7' }).waitFor()
    expect(await page.locator('img').count()).toBe(0)
    await client.publish('live', 'other', null)
    await page.locator('summary', { hasText: 'other' }).waitFor()
    await page.getByRole('combobox', { name: 'Type of event' }).selectOption('note_taken')
    await eventually(async () => (await page.locator('.entry').count()) === 1)
    expect(page.problems).toEqual([])
  })

  test('follows phases and progress', async () => {
    const page = await open('/#/flows/phased')
    await client.publishMany('phased', [
      { type: 'phase_started', payload: { phase: 'copy_files' } },
      { type: 'phase_completed', payload: { phase: 'copy_files', files: 1200 } },
      { type: 'phase_started', payload: { phase: 'check_files' } },
      { type: 'phase_progress', payload: { phase: 'check_files', done: 300, total: 1200, unit: 'files' } },
    ])
    const steps = page.getByRole('region', { name: 'Phases' })
    await steps.getByText('300 of 1,200 files').waitFor()
    expect(await steps.getByText('1,200 files ·').count()).toBe(1)
    expect(
      await steps.getByRole('progressbar', { name: 'Progress of Check files' }).getAttribute('aria-valuenow'),
    ).toBe('25')
    expect(await steps.locator('[aria-current=step]').textContent()).toContain('Check files')
    await client.setState('phased', {
      status: 'failed',
      current_phase: 'check_files',
      progress_percentage: 62,
    })
    await client.publish('phased', 'flow_failed', { reason: 'The disk is full' })
    await page.getByRole('alert').getByText('The disk is full').waitFor()
    await eventually(
      async () =>
        (await page
          .getByRole('progressbar', { name: 'Progress of the flow' })
          .getAttribute('aria-valuenow')) === '62',
    )
    expect(page.problems).toEqual([])
  })

  test('keeps to the newest events of a long flow, and can be held still', async () => {
    const batch = Array.from({ length: 1000 }, (_, n) => ({ type: 'tick', payload: { n } }))
    await client.publishMany('long', batch)
    const page = await open('/#/flows/long')
    await page.getByRole('heading', { name: 'Events 1,000' }).waitFor()
    expect(await page.locator('.entry').count()).toBe(500)
    await page.getByRole('button', { name: 'Pause' }).click()
    await client.publish('long', 'tock', null)
    await page.getByRole('heading', { name: 'Events 1,001' }).waitFor()
    expect((await idsOf(page)).at(-1)).toBe('1-1000')
    await page.getByRole('button', { name: 'Go on' }).click()
    await eventually(async () => (await idsOf(page)).at(-1) === '1-1001')
    expect(page.problems).toEqual([])
  })

  test('says that the server is away, comes back by itself and has missed nothing', async () => {
    const published: string[] = []
    const publish = async () => published.push((await client.publish('restart', 'tick', null)).id)
    const page = await open('/#/flows/restart')
    await publish()
    await eventually(async () => (await idsOf(page)).length === 1)
    await running.stop()
    await page.getByText('Reconnecting').waitFor()
    await page.getByText('Server does not answer').waitFor()
    await shot(page, 'away')
    await running.start()
    // Before the page is back: it has to ask for these.
    for (let n = 0; n < 3; n += 1) await publish()
    await page.getByText('Live', { exact: true }).waitFor()
    await publish()
    await eventually(async () => (await idsOf(page)).length === published.length)
    await page.getByText('Server answers').waitFor()
    expect(await idsOf(page)).toEqual(published)
    expect(await page.getByText('Gap').count()).toBe(0)
    expect(page.problems).toEqual([])
  })

  test('marks what can no longer be had', async () => {
    const batch = Array.from({ length: 1000 }, () => ({ type: 'tick', payload: null }))
    for (let n = 0; n < 3; n += 1) await client.publishMany('trimmed', batch)
    await eventually(
      async () => (await client.history('trimmed', { after: '1-1', limit: 1 })).gaps.length === 1,
    )
    const page = await open('/#/flows/trimmed')
    await page.getByText('Events are missing: see the marked gaps.').waitFor()
    expect(page.problems).toEqual([])
  })

  test('asks for a key where the server does, and takes it', async () => {
    const keys = new ApiKeys(running.spillway().database)
    const { key } = await keys.create({ tenant: 'acme', scopes: ['subscribe'] })
    await running.spillway().tenant('acme').flow('guarded').publish('flow_started', null)
    await running.stop()
    await running.start({ auth: 'keys' })
    try {
      const page = await open('/')
      await page.getByLabel('API key').fill('wrong')
      await page.keyboard.press('Enter')
      await page.getByRole('alert').getByText('did not accept').waitFor()
      await page.getByLabel('API key').fill(key)
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { level: 1, name: 'guarded' }).waitFor()
      await page.locator('summary', { hasText: 'flow_started' }).waitFor()
      expect(page.problems).toEqual([])
    } finally {
      await running.stop()
      await running.start()
    }
  })

  test('is read aloud with sense: landmarks, headings, names, and the way past the list', async () => {
    await client.publish('spoken', 'phase_started', { phase: 'export' })
    await client.setState('spoken', { status: 'running', current_phase: 'export', progress_percentage: 5 })
    const page = await open('/#/flows/spoken')
    await page.locator('.entry').first().waitFor()
    for (const role of ['banner', 'navigation', 'main', 'search'] as const) {
      expect(await page.getByRole(role).count(), role).toBe(1)
    }
    expect(await page.getByRole('heading', { level: 1 }).allTextContents()).toEqual(['spoken'])
    expect(await page.title()).toBe('spoken · Spillway')
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('en')
    expect(await namelessControls(page)).toEqual([])
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the flow')
    await page.keyboard.press('Enter')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main')
    await page.keyboard.press('Tab')
    const outline = await page.evaluate(
      () => getComputedStyle(document.activeElement ?? document.body).outlineStyle,
    )
    expect(outline).toBe('solid')
  })

  test.each(['light', 'dark'] as const)('can be read: %s', async (colorScheme) => {
    await client.publish('seen', 'phase_started', { phase: 'export' })
    for (const [n, status] of (
      ['running', 'waiting', 'completed', 'failed', 'cancelled'] as const
    ).entries()) {
      await client.publish(`seen ${n}`, 'flow_started', null)
      await client.setState(`seen ${n}`, { status })
    }
    const page = await open('/#/flows/seen', { colorScheme })
    await page.locator('.entry').first().waitFor()
    await page.getByText('Cancelled', { exact: true }).last().waitFor()
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    expect(ground).toBe(colorScheme === 'dark' ? 'rgb(13, 18, 23)' : 'rgb(244, 246, 248)')
    expect(await weakContrasts(page)).toEqual([])
    expect(page.problems).toEqual([])
  })

  test('fits a telephone: the list, then the flow, never wider than the screen', async () => {
    await client.publish('a-flow-with-a-long-name-that-has-no-space-in-it-anywhere-at-all', 'phase_started', {
      phase: 'export',
    })
    const page = await open('/', { viewport: { width: 390, height: 844 } })
    const entry = page.getByRole('link', { name: /^a-flow/ })
    await entry.waitFor()
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    expect(await overflow()).toBe(0)
    await entry.click()
    await page.getByRole('heading', { level: 1, name: /^a-flow/ }).waitFor()
    expect(await entry.isVisible()).toBe(false)
    expect(await overflow()).toBe(0)
    await page.getByRole('link', { name: '← All flows' }).click()
    await entry.waitFor()
  })

  test('asks nothing of anybody but its own server, and runs under the policy that it was sent', async () => {
    const page = await open('/')
    const policy = (await fetch(running.url)).headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'self'")
    expect(policy).not.toContain('unsafe')
    const asked: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).origin))
    await page.reload()
    await page.getByText('Server answers').waitFor()
    expect(new Set(asked)).toEqual(new Set([running.url]))
    expect(page.problems).toEqual([])
  })
})
