const HTML: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text that is safe between tags and within quoted attributes. */
export function escapeHtml(text: unknown): string {
  return String(text ?? '').replace(/[&<>"']/g, (c) => HTML[c] ?? '')
}

/**
 * One field of a CSV file for spreadsheets. A field that a spreadsheet would run as a formula gets an apostrophe
 * in front; a plain number keeps its sign.
 */
export function csvField(value: unknown): string {
  const text = Array.isArray(value) ? value.join('; ') : String(value ?? '')
  const inert =
    /^[\s\0]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]/.test(text) && !/^-?\d+([.,]\d+)?$/.test(text)
      ? `'${text}`
      : text
  return /[",;\r\n\t']/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert
}

export function csvLine(values: readonly unknown[]): string {
  return `${values.map(csvField).join(',')}\r\n`
}

/** A number with its thousands marked. */
export function number(value: number): string {
  return new Intl.NumberFormat('en').format(value)
}
