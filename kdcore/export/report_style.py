"""The look of `report.html`: one style sheet for light and dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfaf8; --card: #ffffff; --ink: #1d2330; --soft: #667085; --line: #e3e1dc;
  --student: #1f6feb; --control: #d9730d; --teacher: #7a8194; --good: #17803d; --bad: #c0322b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11141b; --card: #191e28; --ink: #e7eaf0; --soft: #98a2b3; --line: #2c3442;
    --student: #6ea8ff; --control: #f2a65a; --teacher: #a3abbd; --good: #5fd38a; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 64px; }
header { margin-bottom: 28px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 10px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 12px; }
.kicker {
  margin: 0 0 6px; color: var(--soft); font-size: .8rem;
  letter-spacing: .08em; text-transform: uppercase;
}
.lead { font-size: 1.1rem; margin: 0; max-width: 46em; }
.note { color: var(--soft); font-size: .875rem; margin: 10px 0 0; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px; margin: 0 0 20px; overflow-x: auto;
}
.pair {
  display: grid; gap: 20px; margin: 0 0 20px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
}
.pair section { margin: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td {
  padding: 7px 12px; text-align: right; border-top: 1px solid var(--line); unicode-bidi: isolate;
}
thead th { border-top: 0; color: var(--soft); font-weight: 600; font-size: .875rem; }
tbody th, thead th:first-child { text-align: left; font-weight: 400; }
td:not(:first-child) { white-space: nowrap; }
.main { font-weight: 650; }
.better { color: var(--good); font-weight: 650; }
.worse { color: var(--bad); font-weight: 650; }
.facts th { color: var(--soft); width: 30%; }
.facts td { text-align: left; overflow-wrap: anywhere; white-space: normal; }
svg { display: block; width: 100%; height: auto; }
.heat { max-width: 620px; }
.grid { stroke: var(--line); stroke-width: 1; }
.mark { stroke-dasharray: 2 4; stroke: var(--soft); }
.tick { fill: var(--soft); font-size: 12px; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
.level { stroke-dasharray: 5 5; }
.student, .network { stroke: var(--student); }
.control { stroke: var(--control); }
.teacher, .assistant, .generation { stroke: var(--teacher); }
.dot { fill: currentColor; }
.legend { margin: 10px 0 0; display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: .875rem; }
.key {
  display: inline-block; width: 18px; height: 0; margin-right: 7px; vertical-align: middle;
  border-top: 3px solid var(--soft);
}
.key.student, .key.network { border-color: var(--student); }
.key.control { border-color: var(--control); }
.key.teacher, .key.assistant, .key.generation { border-color: var(--teacher); }
.key.level { border-top-style: dashed; }
.frame { fill: none; stroke: var(--line); }
.right { fill: var(--student); }
.wrong { fill: var(--control); }
.number { fill: var(--ink); font-size: 12px; }
.number.strong { fill: #fff; }
pre {
  margin: 0; font-size: .8rem; line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere;
}
summary { cursor: pointer; color: var(--soft); }
@media print { body { background: #fff; } section { break-inside: avoid; } }
""".strip()
