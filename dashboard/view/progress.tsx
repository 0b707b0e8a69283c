interface Progress {
  readonly label: string
  /** From 0 to 1; undefined: under way, nobody knows how far. */
  readonly value: number | undefined
  readonly thin?: boolean
  readonly tone?: 'failed' | 'completed' | undefined
}

export function ProgressBar({ label, value, thin = false, tone }: Progress) {
  const percent = value === undefined ? undefined : Math.round(value * 1000) / 10
  return (
    <div
      class={['bar', thin ? 'thin' : '', tone ?? '', percent === undefined ? 'unknown' : ''].join(' ')}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(percent === undefined ? {} : { 'aria-valuenow': percent })}
    >
      <svg aria-hidden="true">
        <rect width={`${percent ?? 30}%`} height="100%" />
      </svg>
    </div>
  )
}
