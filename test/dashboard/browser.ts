import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { launchChromium } from '../support/chromium.js'

let browser: Promise<Browser> | undefined

const BUILT = fileURLToPath(new URL('../../dist/dashboard/index.html', import.meta.url))

/** A page in a context of its own; its problems are kept for the test to look at. */
export async function openPage(
  url: string,
  options: BrowserContextOptions = {},
): Promise<Page & { problems: string[] }> {
  if (!existsSync(BUILT)) throw new Error('The page is not built: run `npm run build`')
  browser ??= launchChromium()
  const context = await (await browser).newContext({ viewport: { width: 1440, height: 900 }, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('console', (message) => {
    const text = message.text()
    // A server that is away is told by the page itself; the browser's own note of it is no problem of the page.
    if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(text)) problems.push(text)
  })
  await page.goto(url)
  return Object.assign(page, { problems })
}

export async function closeBrowser(): Promise<void> {
  await (await browser)?.close()
  browser = undefined
}

/** Keeps a picture for people to look at, if `SHOTS` names a folder. */
export async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env.SHOTS
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) })
}
