// Compares the public declarations of every entry point with docs/api/*.md; `--write` updates them.
// A change of the API is then a change in a reviewed file.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, 'dist') + sep
const { name: packageName, exports: entries } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Text of the declarations of a symbol, without comments and `declare`. */
function textOf(symbol) {
  return symbol.declarations
    .map((declaration) => (ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration))
    .map((node) => printer.printNode(ts.EmitHint.Unspecified, node, node.getSourceFile()))
    .map((text) => text.replace(/^export /, '').replace(/^declare /, ''))
    .join('\n')
}

const printer = ts.createPrinter({ removeComments: true })

function report(title, file) {
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    skipLibCheck: true,
    types: ['node'],
  })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(file)
  const resolved = (symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  const ours = (symbol) =>
    symbol.declarations?.every((d) => d.getSourceFile().fileName.startsWith(dist.replaceAll(sep, '/')))
  const topLevel = (symbol) =>
    symbol.declarations?.some((d) =>
      ts.isSourceFile(ts.isVariableDeclaration(d) ? d.parent.parent.parent : d.parent),
    )

  const exported = checker
    .getExportsOfModule(checker.getSymbolAtLocation(source))
    .map((symbol) => [symbol.name, resolved(symbol)])
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const seen = new Set(exported.map(([, symbol]) => symbol))
  const queue = [...seen]
  const reached = []
  for (let symbol = queue.shift(); symbol; symbol = queue.shift()) {
    const visit = (node) => {
      if (ts.isIdentifier(node)) {
        const found = checker.getSymbolAtLocation(node)
        const target = found && resolved(found)
        if (target && !seen.has(target) && ours(target) && topLevel(target)) {
          seen.add(target)
          queue.push(target)
          reached.push(target)
        }
      }
      ts.forEachChild(node, visit)
    }
    for (const declaration of symbol.declarations ?? []) {
      visit(ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration)
    }
  }
  const block = (symbol) => `\`\`\`ts\n${textOf(symbol)}\n\`\`\`\n`
  const parts = exported.map(([name, symbol]) => `## ${name}\n\n${block(symbol)}`)
  const sorted = reached.sort((a, b) => (a.name < b.name ? -1 : 1))
  if (sorted.length > 0) {
    parts.push(`# Reached by these, not exported\n\n${sorted.map(block).join('\n')}`)
  }
  return `# \`${title}\`\n\nMade by \`node scripts/api-report.js --write\` from the declarations.\n\n${parts.join('\n')}`
}

const write = process.argv.includes('--write')
let changed = 0
for (const [entry, target] of Object.entries(entries)) {
  if (typeof target === 'string') continue
  const title = entry === '.' ? packageName : `${packageName}${entry.slice(1)}`
  const file = join(root, target.types)
  if (!existsSync(file)) {
    process.stdout.write(`${title}: ${target.types} is missing\n`)
    changed += 1
    continue
  }
  const text = report(title, file)
  const kept = join(root, 'docs/api', `${entry === '.' ? packageName : entry.slice(2)}.md`)
  if (write) {
    mkdirSync(dirname(kept), { recursive: true })
    writeFileSync(kept, text)
  } else if (!existsSync(kept) || readFileSync(kept, 'utf8') !== text) {
    process.stdout.write(
      `${title} has changed: see it with \`node scripts/api-report.js --write && git diff docs/api\`\n`,
    )
    changed += 1
  }
}
process.exitCode = changed === 0 ? 0 : 1
