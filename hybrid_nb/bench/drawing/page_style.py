"""The look of a run's report: in the reader's light or dark, on a narrow screen, and on paper."""

SHEET = """
:root { color-scheme: light dark; --text: #1b1c1d; --quiet: #53575b; --back: #ffffff; --line: #c9cdd2; --pane: #f3f5f7;
  --mark: #b54708; --focus: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaed; --quiet: #b3b8be; --back: #141517; --line: #45494f;
  --pane: #1e2023; --mark: #f0a35e; --focus: #6db8ea; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p, li { max-width: 46rem; } ul { padding-left: 1.25rem; margin: .5rem 0; }
.quiet { color: var(--quiet); margin: 0; }
.warning { border: 1px solid var(--mark); border-left-width: .4rem; border-radius: .25rem; padding: .5rem 1rem;
  margin: 1rem 0; background: var(--pane); }
.warning h2 { border: 0; margin: 0; padding: 0; color: var(--mark); font-size: 1.05rem; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; } .scroll:focus-visible { outline: 2px solid var(--focus); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; font-size: .9375rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; } tbody th, tbody td { white-space: nowrap; }
tbody td.text { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 10rem; max-width: 24rem; }
figure { margin: 1rem 0 2rem; break-inside: avoid; } figure svg { display: block; } figure .live { overflow-x: auto; }
figcaption { color: var(--quiet); font-size: .875rem; max-width: 46rem; margin-top: .25rem; }
@media print { :root { --text: #000; --quiet: #333; --back: #fff; --line: #999; --pane: #fff; --mark: #000; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } .scroll { overflow: visible; }
  h2, h3, caption { break-after: avoid; } tr { break-inside: avoid; } table { font-size: 8.5pt; }
  tbody th, tbody td { white-space: normal; overflow-wrap: anywhere; } }
"""
