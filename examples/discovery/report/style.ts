/** The report's own style sheet: light, dark and paper. */
export const STYLE = `
:root{color-scheme:light dark;--ink:#16202b;--soft:#586674;--paper:#fff;--line:#d9dfe5;--fill:#f3f6f8;
--rehost:#2f7ed8;--replatform:#0b8f8a;--refactor:#7a5cc9;--rearchitect:#c0561b;--replace:#a8841a;--retire:#6b7785}
@media (prefers-color-scheme:dark){:root{--ink:#e7edf2;--soft:#9fb0bf;--paper:#11181f;--line:#2c3843;--fill:#1a242d;
--rehost:#6db0ff;--replatform:#3fc7c0;--refactor:#b39cf5;--rearchitect:#f0955c;--replace:#dcb84a;--retire:#98a5b3}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:2rem 1.25rem 4rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .25rem}h2{font-size:1.25rem;margin:2.5rem 0 .75rem}
p{margin:.25rem 0 .75rem;max-width:70ch}.soft{color:var(--soft)}
dl.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:1.5rem 0}
dl.figures div{background:var(--fill);border-radius:.5rem;padding:.75rem 1rem}
dl.figures dt{color:var(--soft);font-size:.85rem}dl.figures dd{margin:0;font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-size:.875rem}.scroll{overflow-x:auto}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600;white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bars{display:grid;grid-template-columns:max-content 1fr max-content;gap:.35rem .75rem;align-items:center;max-width:46rem}
.bars i{display:block;height:.9rem;border-radius:.25rem;background:var(--rehost);min-width:2px}.bars b{font-weight:400;text-align:right;font-variant-numeric:tabular-nums}
.tag{white-space:nowrap;font-weight:600}.tag:before{content:"";display:inline-block;width:.65em;height:.65em;border-radius:50%;background:currentColor;margin-right:.4em}
.rehost{color:var(--rehost)}.replatform{color:var(--replatform)}.refactor{color:var(--refactor)}.rearchitect{color:var(--rearchitect)}.replace{color:var(--replace)}.retire{color:var(--retire)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:0 3rem}
a{color:var(--rehost)}.downloads a{margin-left:.6em}
ul.why{margin:0;padding-left:1.1rem}code{font-size:.85em}
@media print{.downloads{display:none}body{max-width:none;padding:0;font-size:10pt;color:#000;background:#fff}h2{break-after:avoid}tr,.bars,dl.figures{break-inside:avoid}.scroll{overflow:visible}thead{display:table-header-group}}
`
