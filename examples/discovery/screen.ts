import type { Phase } from './work/checkpoint.js'

/** What the person at the terminal sees of a run. */
export interface Screen {
  phase(phase: Phase, index: number, of: number): void
  progress(done: number, total: number | null, unit: string): void
  done(phase: Phase, counts: Readonly<Record<string, unknown>>): void
  note(text: string): void
}

export const SILENT: Screen = { phase: () => {}, progress: () => {}, done: () => {}, note: () => {} }

const TITLES: Readonly<Record<Phase, string>> = {
  data_import: 'Import',
  field_mapping: 'Map fields',
  asset_inventory: 'Inventory',
  analysis: 'Analysis',
  report: 'Report',
}

const WIDTH = 28

/** A bar a phase on a terminal; a line a phase where the output goes to a file or another program. */
export function terminalScreen(out: NodeJS.WriteStream): Screen {
  let title = ''
  let drawn = false
  const erase = () => (drawn ? '\r\u001b[2K' : '')
  const line = (text: string) => {
    out.write(`${erase()}${text}\n`)
    drawn = false
  }
  return {
    phase: (phase, index, of) => {
      title = `[${index}/${of}] ${TITLES[phase].padEnd(10)}`
      if (!out.isTTY) return
      out.write(`${erase()}${title}`)
      drawn = true
    },
    progress: (done, total, unit) => {
      if (!out.isTTY) return
      out.write(
        `${erase()}${title} ${bar(done, total)} ${amount(done, total)} ${unit}`.slice(
          0,
          Math.max(40, out.columns),
        ),
      )
      drawn = true
    },
    done: (_, counts) => line(`${title} ${counted(counts)}`),
    note: (text) => line(`      ${printable(text)}`),
  }
}

function bar(done: number, total: number | null): string {
  if (total === null || total <= 0) return '·'.repeat(WIDTH)
  const full = Math.round(Math.min(1, done / total) * WIDTH)
  return `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}`
}

function amount(done: number, total: number | null): string {
  const number = new Intl.NumberFormat('en')
  return total === null ? number.format(done) : `${number.format(done)} of ${number.format(total)}`
}

function counted(counts: Readonly<Record<string, unknown>>): string {
  const number = new Intl.NumberFormat('en')
  return Object.entries(counts)
    .flatMap(([name, value]) =>
      typeof value === 'number' ? [`${number.format(value)} ${name.replaceAll('_', ' ')}`] : [],
    )
    .join(', ')
}

/** Text from a file without control characters: they could steer the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ')
}
