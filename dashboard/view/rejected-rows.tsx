import { number } from '../format.js'
import type { Discovery } from '../model/discovery.js'

/** Rows that could not be taken: which, why, and as they stood in the file. */
export function RejectedRows({ discovery: { rejected, rejectedTotal } }: { discovery: Discovery }) {
  if (rejected.length === 0) return null
  return (
    <section class="card" aria-labelledby="rejected">
      <h2 id="rejected">
        Rejected rows <span class="count">{number(rejectedTotal)}</span>
      </h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="scroll" aria-label="Rejected rows, scrollable" tabIndex={0}>
        <table class="rows">
          <thead>
            <tr>
              <th scope="col">Row</th>
              <th scope="col">Reason</th>
              <th scope="col">As in the file</th>
            </tr>
          </thead>
          <tbody>
            {rejected.map(({ row, reason, raw }, index) => (
              <tr key={index}>
                <th scope="row">{row}</th>
                <td>{reason}</td>
                <td>
                  <code>{raw}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {rejectedTotal > rejected.length && (
        <p class="quiet">The first {rejected.length} are shown; the report has them all.</p>
      )}
    </section>
  )
}
