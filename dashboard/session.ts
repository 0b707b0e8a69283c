import { SpillwayClient } from '../client/index.js'

const TOKEN = 'spillway.token'

/** The tab's own storage: a key is gone with the tab. */
function token(): string | undefined {
  return sessionStorage.getItem(TOKEN) ?? undefined
}

export function signIn(value: string): void {
  sessionStorage.setItem(TOKEN, value)
}

/** Where the page lies: its server answers beside it. */
export const BASE = new URL('.', location.href).href

const tenant = new URLSearchParams(location.search).get('tenant')

export const client = new SpillwayClient({ baseUrl: BASE, token, ...(tenant === null ? {} : { tenant }) })

/** True if requests carry a key: a plain link of the page would not. */
export const signedIn = (): boolean => token() !== undefined

/** An address of this server as a link of the page, which sends no headers. */
export function linkTo(address: URL): string {
  const link = new URL(address)
  if (tenant !== null) link.searchParams.set('tenant', tenant)
  return link.href
}

/** Headers for what the client has no call for. */
export function credentials(): Record<string, string> {
  const value = token()
  return {
    ...(value === undefined ? {} : { authorization: `Bearer ${value}` }),
    ...(tenant === null ? {} : { 'x-spillway-tenant': tenant }),
  }
}
