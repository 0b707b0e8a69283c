import { number, words } from '../format.js'

interface Bars {
  readonly caption: string
  readonly of: string
  readonly rows: readonly (readonly [string, number])[]
  /** Rows drawn; the rest are summed up in one. */
  readonly most?: number
  /** Names as they are: host names are not words. */
  readonly verbatim?: boolean
}

/** Counts as a table with a bar in each row: the numbers for everybody, the lengths for the eye. */
export function Bars({ caption, of, rows, most = 8, verbatim = false }: Bars) {
  if (rows.length === 0) return null
  const rest = rows.slice(most)
  const drawn = rest.length > 1 ? [...rows.slice(0, most), ['others', sum(rest)] as const] : rows
  const top = Math.max(...drawn.map(([, count]) => count), 1)
  return (
    <table class="bars">
      <caption>{caption}</caption>
      <colgroup>
        <col class={verbatim ? 'bars-name wide' : 'bars-name'} />
        <col />
        <col class="bars-amount" />
      </colgroup>
      <thead class="unseen">
        <tr>
          <th scope="col">{of}</th>
          <th scope="col">Share</th>
          <th scope="col">Count</th>
        </tr>
      </thead>
      <tbody>
        {drawn.map(([name, count]) => (
          <tr key={name}>
            <th scope="row" title={name}>
              {verbatim ? name : words(name)}
            </th>
            <td class="length">
              <svg aria-hidden="true">
                <rect class="fill" width={`${(count / top) * 100}%`} height="100%" rx="2" />
              </svg>
            </td>
            <td class="amount">{number(count)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

interface Stack {
  readonly label: string
  readonly rows: readonly (readonly [string, number])[]
  /** Names in the order in which they are drawn; others come behind them. */
  readonly order: readonly string[]
}

/** Parts of a whole as one bar, each named and counted below it. */
export function StackedBar({ label, rows, order }: Stack) {
  const total = sum(rows)
  if (total === 0) return null
  const known = order.flatMap((name) => rows.filter(([row]) => row === name))
  const others = rows.filter(([row]) => !order.includes(row))
  let at = 0
  const parts = [...known, ...others].map(([name, count]) => {
    const place = order.indexOf(name)
    const part = {
      name,
      count,
      tone: place < 0 ? 5 : place % 6,
      x: (at / total) * 100,
      width: (count / total) * 100,
    }
    at += count
    return part
  })
  return (
    <figure class="stacked" aria-label={label}>
      <svg aria-hidden="true">
        {parts.map(({ name, tone, x, width }) => (
          <rect key={name} class={`tone-${tone}`} x={`${x}%`} width={`${width}%`} height="100%" />
        ))}
      </svg>
      <ul>
        {parts.map(({ name, count, tone, width }) => (
          <li key={name}>
            <span class={`swatch tone-${tone}`} aria-hidden="true" />
            <span>{words(name)}</span>
            <strong>{number(count)}</strong>
            <span class="quiet">{width < 1 ? '< 1' : Math.round(width)} %</span>
          </li>
        ))}
      </ul>
    </figure>
  )
}

function sum(rows: readonly (readonly [string, number])[]): number {
  return rows.reduce((total, [, count]) => total + count, 0)
}
