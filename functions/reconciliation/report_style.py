"""How the report looks: ink on white, so that the page and its print are the same."""

STYLE = """
:root { --ink: #1c2430; --soft: #5d6877; --line: #dfe4ea; --settled: #2f7d5b; --waiting: #8b9bb0; --open: #c4532b }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 32px 28px 56px; max-width: 1120px; background: #fff; color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-print-color-adjust: exact; print-color-adjust: exact }
header { border-bottom: 2px solid var(--ink); padding-bottom: 10px }
h1 { margin: 0; font-size: 24px; letter-spacing: -.01em }
header p { margin: 2px 0 0; color: var(--soft) }
header strong { color: var(--ink) }
h2 { margin: 0 0 8px; font-size: 15px }
section { margin-top: 30px; break-inside: avoid-page }
abbr, small { color: var(--soft); font-size: 12px; font-weight: 400 }
code { font: 12px ui-monospace, Menlo, Consolas, monospace; color: var(--soft) }
.figures { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 20px }
.figures div { flex: 1 1 165px; padding: 10px 14px; border: 1px solid var(--line);
  border-top: 3px solid var(--waiting) }
.figures h2 { margin: 0; color: var(--soft); font-size: 12px; font-weight: 600 }
.figures p { margin: 2px 0; font-size: 19px; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums }
.figures .wrong { border-top-color: var(--open) }
.charts { display: flex; flex-wrap: wrap; gap: 24px 40px; align-items: flex-start }
svg { flex: 1 1 440px; max-width: 540px; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--ink) }
svg .title { font-weight: 600; font-size: 13px }
svg .scale, svg .none { fill: var(--soft); font-size: 11px }
svg .figure { font-variant-numeric: tabular-nums; font-size: 11.5px }
rect.settled { fill: var(--settled) } rect.waiting { fill: var(--waiting) } rect.open { fill: var(--open) }
.legend { margin: 10px 0 0; color: var(--soft); font-size: 12px }
.legend span { margin-right: 18px }
i { display: inline-block; width: 9px; height: 9px; margin-right: 7px; border-radius: 2px; background: var(--waiting) }
i.settled { background: var(--settled) } i.open { background: var(--open) }
table { width: 100%; border-collapse: collapse; font-size: 13px }
thead { display: table-header-group }
tr { break-inside: avoid }
th { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--ink); text-align: left; font-size: 12px; font-weight: 600;
  color: var(--soft); white-space: nowrap }
td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; padding: 4px 0 4px 14px }
tr.wrong td { color: var(--open); font-weight: 600 }
.none { margin: 0; color: var(--soft) }
@media print {
  body { padding: 0; max-width: none; font-size: 11px } table { font-size: 10.5px } section { margin-top: 18px }
  @page { size: A4 landscape; margin: 14mm } }
"""
