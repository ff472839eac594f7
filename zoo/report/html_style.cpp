#include "zoo/report/html_parts.h"

namespace zoo::report {

// Eight hues that people with the common kinds of colour blindness tell apart (after Okabe and Ito), dark enough for
// text on white, and lighter ones for the dark page.
const char* const page_style = R"css(
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --ink: #1c2126; --quiet: #5a646e; --line: #d8dcdf; --wash: #f2f3f1; --bar: #9fb6c8;
  --zoo-grid: #e3e6e8; --heat-colour: 11 102 168; --heat-most: 0.55;
  --zoo-series-0: #0b66a8; --zoo-series-1: #c24a00; --zoo-series-2: #00775a; --zoo-series-3: #9c3f86;
  --zoo-series-4: #8a6100; --zoo-series-5: #2f6f8f; --zoo-series-6: #5b6169; --zoo-series-7: #b3203a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --ink: #e3e5e7; --quiet: #9ba5ae; --line: #343a40; --wash: #1e2226; --bar: #47627a;
    --zoo-grid: #2b3035; --heat-colour: 63 146 208; --heat-most: 0.6;
    --zoo-series-0: #5fb4ec; --zoo-series-1: #ff9152; --zoo-series-2: #35c79f; --zoo-series-3: #e394ca;
    --zoo-series-4: #e5b53c; --zoo-series-5: #9bd3ee; --zoo-series-6: #b1b9c1; --zoo-series-7: #ff7f8e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.015em; margin: 0 0 0.6rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 0.75rem; padding-top: 0.9rem; border-top: 1px solid var(--line); }
h3, h4 { font-size: 1rem; margin: 2rem 0 0.4rem; }
p, ul { margin: 0 0 0.8rem; max-width: 46rem; }
ul { padding-left: 1.1rem; }
li { margin: 0.2rem 0; }
.lede { font-size: 1.18rem; line-height: 1.45; max-width: 48rem; }
.facts, figcaption, caption, .quiet, footer { color: var(--quiet); font-size: 0.875rem; }
.notice { border-left: 3px solid var(--zoo-series-1); padding: 0.1rem 0 0.1rem 0.9rem; }
nav { font-size: 0.9rem; margin: 1.2rem 0 0; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
a { color: inherit; text-underline-offset: 0.2em; text-decoration-color: var(--quiet); }
a:hover { text-decoration-color: currentColor; }
:focus-visible { outline: 2px solid var(--zoo-series-0); outline-offset: 2px; }
.scroll { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 0.5rem; }
caption > span { display: inline-block; position: sticky; left: 0; max-width: min(46rem, calc(100vw - 2.5rem)); }
th, td { padding: 0.4rem 0.85rem 0.4rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { font-weight: 600; border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody th { font-weight: 400; }
tbody th[scope=rowgroup] { font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
.results th[scope=rowgroup] { width: 17rem; }
td.result { min-width: 8.6rem; }
.results td, .results th { padding-right: 1.1rem; }
.results tbody tr:not(:last-child) > :not([scope=rowgroup]) { border-bottom-color: transparent; }
.value { font-weight: 600; }
.spread, .small { color: var(--quiet); font-size: 0.8rem; }
.small { display: block; font-weight: 400; overflow-wrap: anywhere; }
.bar { display: block; height: 3px; margin: 0.25rem 0 0.2rem; background: var(--wash); }
.bar > i { display: block; height: 100%; background: var(--bar); }
.heats td { min-width: 5.2rem; padding: 0.4rem 0.7rem; border: 1px solid var(--paper); text-align: right; }
.heats th { padding-right: 0.85rem; }
.heats thead th { min-width: 5.2rem; max-width: 10rem; }
.heats thead th:not(:first-child) { text-align: right; padding: 0.4rem 0.7rem; }
td.heat { background: rgb(var(--heat-colour) / calc(var(--heat) * var(--heat-most))); }
td.heat a { text-decoration-color: transparent; }
td.heat a:hover { text-decoration-color: currentColor; }
td.heat .small { color: inherit; }
.grids { display: flex; flex-wrap: wrap; gap: 0 2.5rem; }
.grids > div { max-width: 100%; }
.part > h2 { font-size: 1.5rem; margin-top: 4rem; border-top: 2px solid var(--ink); }
.part > section { content-visibility: auto; contain-intrinsic-size: auto 30rem; }
.filter { margin: 1rem 0 0; font-size: 0.9rem; }
.filter input { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--quiet); border-radius: 3px; padding: 0.25rem 0.5rem; width: 16rem; max-width: 100%; }
[hidden] { display: none !important; }
.chosen { font-weight: 700; }
.name { overflow-wrap: anywhere; }
.results .name, .layers th .name { overflow-wrap: normal; white-space: nowrap; }
.mark { vertical-align: -0.1em; margin-right: 0.4rem; }
.legend { list-style: none; padding: 0; margin: 0 0 0.4rem; max-width: none; font-size: 0.875rem; }
.legend li { display: inline-block; margin: 0 1.3rem 0.2rem 0; }
figure { margin: 1.5rem 0 2rem; }
figure h3, figure h4 { margin: 0 0 0.2rem; }
figcaption { max-width: 46rem; margin-bottom: 0.8rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1rem 1.4rem; }
.panels svg { display: block; width: 100%; max-width: 34rem; height: auto; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; font-weight: 600; }
pre { background: var(--wash); padding: 0.8rem 1rem; overflow-x: auto; font-size: 0.85rem; line-height: 1.5; }
code, .code { font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.92em; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 0.8rem; }
@media (max-width: 40rem) {
  body { padding: 1.4rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  .results th[scope=rowgroup], .results thead th:first-child { position: sticky; left: 0; background: var(--paper); }
  .heats th[scope=row], .heats thead th:first-child { position: sticky; left: 0; background: var(--paper); }
  .results th[scope=rowgroup] { width: auto; min-width: 8rem; }
  .results th[scope=rowgroup] .small { display: none; }
  .results .mark { display: block; }
  .layers td { min-width: 10rem; }
}
@media print { .scroll { overflow: visible; } nav { display: none; } }
)css";

}  // namespace zoo::report
