/** Where a command says what it found; JSON for programs, text for people. */
export interface Output {
  readonly json: boolean
  /** One line of text, or the value as one line of JSON. */
  line(value: unknown, text: string): void
  /** Rows as one JSON array, or as aligned columns. */
  table<R extends object>(rows: readonly R[], columns: readonly (keyof R & string)[], empty: string): void
}

export function output(json: boolean): Output {
  const write = (line: string) => process.stdout.write(`${line}\n`)
  return {
    json,
    line: (value, text) => void write(json ? JSON.stringify(value) : text),
    table: (rows, columns, empty) => {
      if (json) return void write(JSON.stringify(rows))
      if (rows.length === 0) return void write(empty)
      for (const line of align([columns, ...rows.map((row) => columns.map((column) => cell(row[column])))]))
        write(line)
    },
  }
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-'
  return printable(Array.isArray(value) ? value.join(',') : String(value))
}

function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** Names come from elsewhere: control characters would move the cursor or colour the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}/gu, '\uFFFD')
}
