import { type Browser, chromium } from 'playwright-core'
import { requirePrograms } from './programs.js'

/** Starts the system's Chromium without network chatter of its own. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: requirePrograms(['chromium']).chromium,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}
