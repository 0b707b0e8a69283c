// The arrows of ARCHITECTURE.md, as rules: each layer may import the ones before it, and nothing goes round.

const GROUND = '^src/(errors|config|tenant|tenant-limits|remembered)\\.ts$'
const STORES = '^src/(redis|postgres|term)/'
const ASSEMBLY = '^src/(spillway|stores|keeping|index)\\.ts$'
const SURFACES = '^src/(http|ops)/'
const CAPABILITIES = '^src/(?!redis/|postgres/|term/|http/|ops/|cli/)[^/]+/'

const arrow = (name, from, to) => ({
  name: `arrows-${name}`,
  comment: 'errors, config, tenant <- redis, postgres, term <- capabilities <- spillway <- http, ops <- cli',
  severity: 'error',
  from: { path: from },
  to: { path: '^src/', pathNot: to },
})

/** What lies below `from` may import of the repository and of npm; `pathNot` lists it. */
const only = (name, comment, from, pathNot) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { pathNot, dependencyTypesNot: ['core'], couldNotResolve: false },
})

const ownedBy = (folder, packages) => ({
  name: `only-${folder}-speaks-to-its-store`,
  comment: `only src/${folder}/ imports ${packages}`,
  severity: 'error',
  from: { path: '^(src|client|dashboard|examples)/', pathNot: `^src/${folder}/` },
  to: { path: [`(^|/)node_modules/(${packages})/`, `^(${packages})(/|$)`] },
})

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'type-only imports count: two files that need each other are one thought',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    arrow('ground', GROUND, [GROUND]),
    arrow('stores', STORES, [GROUND, STORES]),
    arrow('capabilities', CAPABILITIES, [GROUND, STORES, CAPABILITIES]),
    arrow('assembly', ASSEMBLY, [GROUND, STORES, CAPABILITIES, ASSEMBLY]),
    arrow('surfaces', SURFACES, [GROUND, STORES, CAPABILITIES, ASSEMBLY, SURFACES]),
    {
      name: 'arrows-known-files',
      comment: 'a new file directly under src/ needs a place in the layers: name it in this configuration',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/[^/]+\\.ts$', pathNot: [GROUND, ASSEMBLY] },
    },
    ownedBy('postgres', 'pg|pg-[^/]+|@electric-sql/[^/]+'),
    ownedBy('redis', 'ioredis|redis|@redis/[^/]+'),
    only('src-stands-alone', 'the library imports nothing of the parts around it', '^src/', [
      '^src/',
      'node_modules/',
    ]),
    only('client-stands-alone', 'the browser client has no dependency', '^client/', ['^client/']),
    only('dashboard-uses-the-client', 'the page is a client of the public API only', '^dashboard/', [
      '^dashboard/',
      '^client/',
      '^dist/client/index\\.',
      'node_modules/',
    ]),
    only('examples-use-the-public-api', 'examples import spillway as its users do', '^examples/', [
      '^examples/',
      '^dist/(src|client)/index\\.',
      'node_modules/',
    ]),
    {
      name: 'declared-dependencies',
      comment: 'what runs at the user has to be in dependencies',
      severity: 'error',
      from: { path: '^(src|client|examples)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: { pathNot: '^dashboard/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules|^dist/' },
    exclude: { path: '^examples/[^/]+/data/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
}
