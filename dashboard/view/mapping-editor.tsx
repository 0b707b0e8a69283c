import { useMemo, useState } from 'preact/hooks'
import { plural, words } from '../format.js'
import type { Discovery, Mapping, Proposal, ProposedColumn } from '../model/discovery.js'
import { client } from '../session.js'

type Sent = 'no' | 'sending' | 'sent' | 'failed'

interface Editor {
  readonly flow: string
  readonly discovery: Discovery
  /** Another proposal needs another editor: give its id as the `key`. */
  readonly proposal: Proposal
  readonly waiting: boolean
}

/** Columns of the file beside the attributes they mean; a person may correct it until the flow goes on. */
export function MappingEditor({ flow, discovery, proposal, waiting }: Editor) {
  const { confirmed } = discovery
  const proposed = useMemo(
    () => Object.fromEntries(proposal.columns.map(({ column, attribute }) => [column, attribute])),
    [proposal],
  )
  const [edited, setEdited] = useState<Mapping>({})
  const [sent, setSent] = useState<Sent>('no')
  const open = confirmed === undefined
  const mapping = confirmed ?? { ...proposed, ...edited }
  const taken = new Map<string, number>()
  for (const attribute of Object.values(mapping))
    if (attribute) taken.set(attribute, (taken.get(attribute) ?? 0) + 1)
  const clash = [...taken].find(([, columns]) => columns > 1)?.[0]
  const changes = Object.entries(edited).filter(
    ([column, attribute]) => proposed[column] !== attribute,
  ).length

  const submit = async () => {
    setSent('sending')
    try {
      const key = `mapping-${proposal.id}-${Date.now().toString(36)}`
      await client.publish(flow, 'mapping_corrected', { mapping }, { source: 'dashboard', key })
      setSent('sent')
    } catch {
      setSent('failed')
    }
  }

  return (
    <section class={waiting ? 'card asking' : 'card'} aria-labelledby="mapping">
      <h2 id="mapping" tabIndex={-1}>
        Column mapping <span class="count">{proposal.columns.length}</span>
      </h2>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
        <section class="scroll tall" aria-label="Columns, scrollable" tabIndex={0}>
          <table class="rows mapping">
            <thead>
              <tr>
                <th scope="col">Column</th>
                <th scope="col">Attribute</th>
                <th scope="col">Confidence, and why</th>
              </tr>
            </thead>
            <tbody>
              {proposal.columns.map((column) => (
                <Row
                  key={column.column}
                  column={column}
                  attributes={proposal.attributes}
                  value={mapping[column.column] ?? null}
                  open={open && sent !== 'sending'}
                  clash={clash}
                  onChange={(attribute) => {
                    setSent('no')
                    setEdited({ ...edited, [column.column]: attribute })
                  }}
                />
              ))}
            </tbody>
          </table>
        </section>
        {proposal.hidden > 0 && (
          <p class="quiet">{plural(proposal.hidden, 'more column')} without a meaning, not shown</p>
        )}
        <div class="form-end">
          {open && (
            <button
              type="submit"
              class={waiting || changes > 0 ? 'primary' : ''}
              disabled={sent === 'sending' || clash !== undefined}
            >
              {changes === 0
                ? 'Accept the mapping'
                : `Apply ${changes === 1 ? '1 correction' : `${changes} corrections`}`}
            </button>
          )}
          <output class={clash || sent === 'failed' || discovery.refused ? 'problem' : 'quiet'}>
            {open ? advice(clash, sent, discovery) : 'Confirmed: the flow works with this mapping.'}
          </output>
        </div>
      </form>
    </section>
  )
}

function advice(clash: string | undefined, sent: Sent, { corrected, refused }: Discovery): string {
  if (clash) return `Two columns cannot both be ${words(clash).toLowerCase()}.`
  if (refused !== undefined) return `Not taken: ${refused}`
  if (sent === 'failed') return 'The correction did not reach the server. Try again.'
  if (sent === 'sending') return 'Sending'
  if (sent === 'sent' || corrected) return 'Sent: the flow goes on with it.'
  return ''
}

interface RowOf {
  readonly column: ProposedColumn
  readonly attributes: readonly string[]
  readonly value: string | null
  readonly open: boolean
  readonly clash: string | undefined
  readonly onChange: (attribute: string | null) => void
}

function Row({ column, attributes, value, open, clash, onChange }: RowOf) {
  const { column: name, confidence, reasons, samples } = column
  // An attribute that the list forgot must still be shown as it is.
  const choices = value !== null && !attributes.includes(value) ? [value, ...attributes] : attributes
  return (
    <tr>
      <th scope="row">
        {name}
        <span class="samples">{samples.join(' · ')}</span>
      </th>
      <td>
        {open ? (
          <select
            aria-label={`Attribute of ${name}`}
            aria-invalid={value !== null && value === clash}
            value={value ?? ''}
            onChange={(event) =>
              onChange(event.currentTarget.value === '' ? null : event.currentTarget.value)
            }
          >
            <option value="">Not used</option>
            {choices.map((attribute) => (
              <option key={attribute} value={attribute}>
                {words(attribute)}
              </option>
            ))}
          </select>
        ) : (
          <span class={value === null ? 'quiet' : ''}>{value === null ? 'Not used' : words(value)}</span>
        )}
      </td>
      <td class="why">
        {value === column.attribute && confidence !== undefined && <Confidence value={confidence} />}
        {value === column.attribute ? reasons.join('; ') : 'Your choice'}
      </td>
    </tr>
  )
}

function Confidence({ value }: { value: number }) {
  const percent = Math.round(Math.min(value, 1) * 100)
  return (
    <span class={`meter ${percent >= 80 ? 'sure' : percent >= 50 ? 'likely' : 'unsure'}`}>
      <svg aria-hidden="true">
        <rect width={`${percent}%`} height="100%" />
      </svg>
      {percent} %
    </span>
  )
}
