import { RULES, TREATMENTS } from '../analysis/rules.js'
import type { Assessed } from '../phases/analyse.js'
import { STYLE } from './style.js'
import type { Shown, Summary } from './summary.js'
import { escapeHtml as e, number } from './text.js'

/** The report as one page without scripts and without anything from elsewhere. */
export function htmlReport(summary: Summary, shown: Shown): string {
  const { assets } = summary
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Discovery report: ${e(summary.file)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Discovery report</h1>
<p class="soft">${e(summary.file)}, ${number(summary.bytes)} bytes, ${e(summary.encoding)}, columns cut at ${delimiterName(summary.delimiter)}.
Support is measured against ${e(summary.asOf)}.</p>
<p class="downloads">Download: <a href="report.csv">CSV</a> <a href="report.json">JSON</a> <a href="rejected.csv">rejected rows</a></p>
</header>
<main>
<dl class="figures">
${figure('Rows read', summary.rows)}${figure('Rows rejected', summary.rejected)}${figure('Assets', assets)}${figure('Rows merged', summary.duplicates)}${figure('Dependencies', summary.dependencies)}
</dl>
<h2>Suggested treatment</h2>
${bars(
  TREATMENTS.map((name) => [name, summary.byTreatment[name] ?? 0]),
  true,
)}
<div class="two">
<section><h2>By type</h2>${bars(Object.entries(summary.byType))}</section>
<section><h2>By environment</h2>${bars(Object.entries(summary.byEnvironment))}</section>
</div>
${hubs(shown.hubs)}
<h2>Assets</h2>
<p class="soft">${shown.assets.length < assets ? `The first ${number(shown.assets.length)} of ${number(assets)}; the CSV and JSON files have all of them.` : 'All of them.'}</p>
<div class="scroll"><table>
<thead><tr><th>Asset</th><th>Type</th><th>Environment</th><th>System</th><th class="n">Dependents</th><th>Treatment</th><th>Why</th></tr></thead>
<tbody>
${shown.assets.map(assetRow).join('\n')}
</tbody></table></div>
${unresolved(summary)}
${rejected(summary, shown)}
<h2>How the columns were read</h2>
<div class="scroll"><table><thead><tr><th>Column</th><th>Attribute</th></tr></thead><tbody>
${Object.entries(summary.mapping)
  .map(
    ([column, attribute]) =>
      `<tr><td>${e(column)}</td><td>${attribute === null ? '<span class="soft">not used</span>' : e(attribute)}</td></tr>`,
  )
  .join('\n')}
</tbody></table></div>
<h2>Rules</h2>
<p class="soft">Each rule that applies adds its points; the treatment with the most is suggested.</p>
<div class="scroll"><table><thead><tr><th>Rule</th><th>Applies to</th><th>Points</th></tr></thead><tbody>
${RULES.map((rule) => `<tr><td>${e(rule.id)}</td><td>${e(rule.when)}</td><td>${e(points(rule.points))}</td></tr>`).join('\n')}
</tbody></table></div>
</main>
</body>
</html>
`
}

function figure(name: string, value: number): string {
  return `<div><dt>${name}</dt><dd>${number(value)}</dd></div>\n`
}

function bars(entries: readonly (readonly [string, number])[], coloured = false): string {
  const most = Math.max(1, ...entries.map(([, value]) => value))
  const sorted = coloured ? entries : [...entries].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
  const rows = sorted.map(([name, value]) => {
    const colour = coloured ? `;background:var(--${e(name)})` : ''
    const width = Math.round((1000 * value) / most) / 10
    return `<span>${e(name.replaceAll('_', ' '))}</span><i style="width:${width}%${colour}"></i><b>${number(value)}</b>`
  })
  return `<div class="bars">${rows.join('\n')}</div>`
}

function assetRow({ asset, dependents, assessment }: Assessed): string {
  const system = [asset.operatingSystem, asset.osVersion].filter((part) => part !== null).join(' ')
  const reasons = assessment.reasons.filter((reason) => reason.points > 0)
  return `<tr><td>${e(asset.name)}${asset.hostname !== null && asset.hostname !== asset.name ? `<br><span class="soft">${e(asset.hostname)}</span>` : ''}</td><td>${e(asset.type.replaceAll('_', ' '))}</td><td>${e(asset.environment.replaceAll('_', ' '))}</td><td>${e(system)}</td><td class="n">${number(dependents)}</td><td><span class="tag ${assessment.treatment}">${assessment.treatment}</span></td><td><ul class="why">${reasons.map((reason) => `<li>${e(reason.text)}</li>`).join('')}</ul></td></tr>`
}

function hubs(list: readonly Assessed[]): string {
  if (list.length === 0) return ''
  const rows = list.map(
    ({ asset, dependents, dependencies }) =>
      `<tr><td>${e(asset.name)}</td><td>${e(asset.type.replaceAll('_', ' '))}</td><td class="n">${number(dependents)}</td><td class="n">${number(dependencies)}</td></tr>`,
  )
  return `<h2>Most depended on</h2>
<div class="scroll"><table><thead><tr><th>Asset</th><th>Type</th><th class="n">Dependents</th><th class="n">Depends on</th></tr></thead><tbody>
${rows.join('\n')}
</tbody></table></div>`
}

function unresolved(summary: Summary): string {
  if (summary.unresolved === 0) return ''
  const names = summary.unresolvedNames.map(
    ([name, times]) => `<tr><td>${e(name)}</td><td class="n">${number(times)}</td></tr>`,
  )
  return `<h2>Dependencies on the unknown</h2>
<p class="soft">${number(summary.unresolved)} references name something that is not in the file. The most frequent:</p>
<div class="scroll"><table><thead><tr><th>Name</th><th class="n">Times</th></tr></thead><tbody>
${names.join('\n')}
</tbody></table></div>`
}

function rejected(summary: Summary, shown: Shown): string {
  if (summary.rejected === 0) return ''
  const rows = shown.rejected.map(
    ({ row, reason, raw }) =>
      `<tr><td class="n">${number(row)}</td><td>${e(reason)}</td><td><code>${e(raw.slice(0, 300))}</code></td></tr>`,
  )
  return `<h2>Rejected rows</h2>
<p class="soft">${shown.rejected.length < summary.rejected ? `The first ${number(shown.rejected.length)} of ${number(summary.rejected)}.` : 'All of them.'} The number is the line of the file.</p>
<div class="scroll"><table><thead><tr><th class="n">Row</th><th>Reason</th><th>As it stands in the file</th></tr></thead><tbody>
${rows.join('\n')}
</tbody></table></div>`
}

function points(given: Readonly<Record<string, number>>): string {
  return Object.entries(given)
    .map(([name, value]) => `${name} ${value > 0 ? '+' : ''}${value}`)
    .join(', ')
}

function delimiterName(delimiter: string): string {
  const names: Readonly<Record<string, string>> = {
    ',': 'commas',
    ';': 'semicolons',
    '\t': 'tabs',
    '|': 'bars',
  }
  return names[delimiter] ?? e(delimiter)
}
