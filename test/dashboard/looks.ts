import type { Page } from 'playwright-core'

/** Controls that a screen reader could not name. */
export function namelessControls(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const named = (element: Element): boolean => {
      const label = element.getAttribute('aria-label') ?? ''
      const labels =
        element instanceof HTMLInputElement || element instanceof HTMLSelectElement
          ? [...(element.labels ?? [])]
          : []
      const by = (element.getAttribute('aria-labelledby') ?? '')
        .split(' ')
        .map((id) => document.getElementById(id))
      const own =
        element instanceof HTMLSelectElement || element instanceof HTMLInputElement ? '' : element.textContent
      return [
        label,
        own,
        ...labels.map((each) => each.textContent),
        ...by.map((each) => each?.textContent),
      ].some((text) => text?.trim())
    }
    const controls =
      'a, button, input, select, summary, [role=progressbar], [tabindex="0"], nav, section, svg[role=img]'
    return [...document.querySelectorAll(controls)]
      .filter((element) => !named(element))
      .map((element) => element.outerHTML.slice(0, 120))
  })
}

/** Texts whose contrast with what lies behind them is below 4.5 : 1. Source: WCAG 2.2, 1.4.3. */
export function weakContrasts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const colour = (text: string): number[] =>
      (/rgba?\(([^)]+)\)/.exec(text)?.[1] ?? '0,0,0,0').split(/[,/]\s*/).map(Number)
    const luminance = (rgb: number[]): number => {
      const [r = 0, g = 0, b = 0] = rgb.map((value) => {
        const share = value / 255
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const behind = (element: Element | null): number[] => {
      for (let at = element; at; at = at.parentElement) {
        const found = colour(getComputedStyle(at).backgroundColor)
        if ((found[3] ?? 1) > 0.99) return found
      }
      return [255, 255, 255]
    }
    const weak = new Set<string>()
    for (const element of document.querySelectorAll('body *')) {
      const own = [...element.childNodes].some(
        (node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim(),
      )
      const style = getComputedStyle(element)
      if (!own || style.visibility === 'hidden' || element.getClientRects().length === 0) continue
      const [light = 0, dark = 0] = [luminance(colour(style.color)), luminance(behind(element))].sort(
        (a, b) => b - a,
      )
      const ratio = (light + 0.05) / (dark + 0.05)
      if (ratio < 4.5)
        weak.add(`${ratio.toFixed(2)} ${element.className} "${element.textContent?.slice(0, 30)}"`)
    }
    return [...weak]
  })
}
