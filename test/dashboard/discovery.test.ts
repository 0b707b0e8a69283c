import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SpillwayClient } from '../../client/index.js'
import { demoRoutes } from '../../examples/discovery/index.js'
import { type Running, startEmbedded } from '../client/running.js'
import { closeBrowser, openPage, shot } from './browser.js'

let running: Running
let client: SpillwayClient
beforeAll(async () => {
  running = await startEmbedded({}, (spillway) => [demoRoutes(spillway, { autoConfirmMs: 60_000 })])
  client = new SpillwayClient({ baseUrl: running.url })
})
afterAll(async () => {
  await closeBrowser()
  await running.remove()
})

const TABLE = `hostname;ip;os;env;cpu;owner;depends on
web-01;10.0.0.1;Ubuntu 22.04;production;4;Ada;db-01
web-02;10.0.0.2;Ubuntu 22.04;production;4;Ada;db-01
db-01;10.0.0.3;Oracle Linux 7;production;16;Grace;
broken row
batch-01;10.0.0.4;Windows Server 2012;test;8;Linus;db-01,web-01
`

describe('the page of a discovery flow', () => {
  test('imports a file, lets a person correct the mapping by keyboard and shows the outcome', async () => {
    const page = await openPage(`${running.url}/`)
    await page
      .locator('input[type=file]')
      .setInputFiles({ name: 'my table.csv', mimeType: 'text/csv', buffer: Buffer.from(TABLE) })
    await page.getByText('This flow waits for you.').waitFor()
    await shot(page, 'waiting')

    await page.getByRole('button', { name: 'Check the mapping' }).focus()
    await page.keyboard.press('Enter')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('mapping')
    // From the heading on: the scrolling table, then the first column's choice.
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe(
      'Attribute of hostname',
    )
    const owner = page.getByRole('combobox', { name: 'Attribute of owner' })
    while (!(await owner.evaluate((select) => select === document.activeElement)))
      await page.keyboard.press('Tab')
    await page.keyboard.type('Not used')
    const apply = page.getByRole('button', { name: 'Apply 1 correction' })
    await apply.waitFor()
    while (!(await apply.evaluate((button) => button === document.activeElement)))
      await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')

    await page.getByText('Confirmed: the flow works with this mapping.').waitFor()
    await page.getByRole('heading', { name: 'Suggested treatments' }).waitFor()
    await page.getByRole('link', { name: 'Open the report' }).waitFor()
    const flow = (await page.getByRole('heading', { level: 1 }).textContent()) ?? ''
    const { events } = await client.history(flow, { limit: 1000 })
    const corrected = events.find(({ type }) => type === 'mapping_corrected')
    expect(corrected).toMatchObject({ source: 'dashboard', payload: { mapping: { owner: null } } })
    const confirmed = events.find(({ type }) => type === 'mapping_confirmed')
    expect(confirmed).toMatchObject({ payload: { by: 'person', mapping: { owner: null } } })

    const rejected = page.getByRole('region', { name: /^Rejected rows \d/ })
    expect(await rejected.getByRole('row').count()).toBe(2)
    expect(await rejected.getByText('broken row').count()).toBe(1)
    await page.getByRole('main').getByText('Completed', { exact: true }).waitFor()
    await shot(page, 'completed')
    expect(page.problems).toEqual([])
  })

  test('takes a file that is dropped on the page, and says why it does not take another', async () => {
    const page = await openPage(`${running.url}/`)
    const drop = async (name: string, text: string) => {
      const dataTransfer = await page.evaluateHandle(
        ([name, text]) => {
          const data = new DataTransfer()
          data.items.add(new File([text ?? ''], name ?? '', { type: 'text/csv' }))
          return data
        },
        [name, text],
      )
      await page.dispatchEvent('main', 'dragenter', { dataTransfer })
      await page.getByText('Drop the table to import it').waitFor()
      await page.dispatchEvent('main', 'drop', { dataTransfer })
    }
    await drop('empty.csv', '')
    await page.getByText(/empty\.csv was not taken: /).waitFor()
    await drop('dropped.csv', TABLE)
    await page.getByRole('heading', { level: 1, name: /dropped/ }).waitFor()
    await page.getByText('This flow waits for you.').waitFor()
    // Two columns with one meaning would lose one of them: the page does not let that be sent.
    await page.getByRole('combobox', { name: 'Attribute of owner' }).selectOption({ label: 'Hostname' })
    await page.getByText('Two columns cannot both be hostname.').waitFor()
    expect(await page.getByRole('button', { name: 'Apply 1 correction' }).isDisabled()).toBe(true)
    expect(page.problems).toEqual([])
  })
})
