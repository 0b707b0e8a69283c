import { type Case, RULES, TREATMENTS, type Treatment } from './rules.js'

/** A suggestion and everything that led to it. */
export interface Assessment {
  readonly treatment: Treatment
  readonly scores: Readonly<Record<Treatment, number>>
  /** How far the suggestion is ahead of the next one, 0 to 1. */
  readonly confidence: number
  readonly reasons: readonly Reason[]
}

export interface Reason {
  readonly rule: string
  readonly text: string
  /** Points it gave to the suggested treatment; reasons for others are kept with theirs. */
  readonly points: number
  readonly effect: string
}

/** Applies every rule, adds the points, and suggests the treatment with the most. */
export function assess(subject: Case): Assessment {
  const scores: Record<Treatment, number> = {
    rehost: 0,
    replatform: 0,
    refactor: 0,
    rearchitect: 0,
    replace: 0,
    retire: 0,
  }
  const applied = RULES.flatMap((rule) => {
    const text = rule.reason(subject)
    return text === null ? [] : [{ rule, text }]
  })
  for (const { rule } of applied) {
    for (const treatment of TREATMENTS) scores[treatment] += rule.points[treatment] ?? 0
  }
  const ranked = [...TREATMENTS].sort((a, b) => scores[b] - scores[a])
  const [treatment = 'rehost', next = 'rehost'] = ranked
  const lead = scores[treatment] - scores[next]
  const reasons = applied
    .map(({ rule, text }) => ({
      rule: rule.id,
      text,
      points: rule.points[treatment] ?? 0,
      effect: TREATMENTS.filter((t) => rule.points[t] !== undefined)
        .map((t) => `${t} ${signed(rule.points[t] ?? 0)}`)
        .join(', '),
    }))
    .sort((a, b) => b.points - a.points)
  return {
    treatment,
    scores,
    confidence: Math.round((lead / Math.max(1, scores[treatment])) * 100) / 100,
    reasons,
  }
}

function signed(points: number): string {
  return points > 0 ? `+${points}` : String(points)
}
