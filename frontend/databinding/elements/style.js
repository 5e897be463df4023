/** @type {CSSStyleSheet | null} */
let made = null;

/** The elements' own style, made once: it takes the page's colours and font, and custom properties over them. */
export function sheet() {
  if (made !== null) return made;
  made = new CSSStyleSheet();
  made.replaceSync(STYLE);
  return made;
}

const STYLE = `
:host { display: inline-block; max-width: 100%; color: var(--live-ink, inherit); font: var(--live-font, inherit); }
:host([hidden]) { display: none; }
:host(live-table) { display: block; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
[part=label] { color: var(--live-label, inherit); }
[part~=value] { border-radius: 3px; font-variant-numeric: tabular-nums; font-weight: var(--live-weight, 600); }
[part=unit] { color: var(--live-label, inherit); }
[part=state] { color: var(--live-state, inherit); font-size: var(--live-state-size, 0.85em); font-weight: 400; white-space: nowrap; }
[part=state]:empty { display: none; }

/* What isn't known to be so any more doesn't look as if it were. */
:host(:is([data-state=stale], [data-state=offline])) :is([part~=value], [part~=cell]) {
  color: var(--live-stale, inherit);
  font-weight: 400;
  text-decoration: underline dashed 1px;
  text-underline-offset: 0.25em;
}
:host([data-state=offline]) svg { outline: 1px dashed color-mix(in srgb, currentColor 50%, transparent); outline-offset: 3px; }

.flash { animation: flash 1.5s; }
@keyframes flash { 0%, 33% { background: var(--live-flash, color-mix(in srgb, currentColor 18%, transparent)); } }
@media (prefers-reduced-motion: reduce) {
  .flash { animation: none; }
  .flash::after { content: " •"; }
}

figure { display: grid; grid-template-columns: auto 1fr; align-items: baseline; gap: 4px 8px; margin: 0; }
figure svg { grid-column: 1 / -1; display: block; width: var(--live-chart-width, 200px); max-width: 100%; height: var(--live-chart-height, 40px); overflow: visible; fill: none; }
figure path { vector-effect: non-scaling-stroke; stroke-linejoin: round; stroke-linecap: round; }
[part=area] { fill: var(--live-series, currentColor); opacity: 0.1; }
[part=line] { stroke: var(--live-series, currentColor); stroke-width: 1.5; }
[part=end] { stroke: var(--live-series, currentColor); stroke-width: 5; }

.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid; outline-offset: 2px; }
table { border-collapse: collapse; text-align: start; }
caption { padding: 0 0 4px; text-align: start; white-space: nowrap; }
[part=caption]:not(:empty) { font-weight: 600; }
th, td { padding: var(--live-padding, 4px 12px 4px 0); border-bottom: 1px solid var(--live-line, color-mix(in srgb, currentColor 20%, transparent)); text-align: start; vertical-align: baseline; }
th { color: var(--live-label, inherit); font-weight: 600; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; }
th.number, td.number { text-align: end; }
button { min-height: 28px; margin-inline-start: 8px; padding: 2px 10px; border: 1px solid; border-radius: 6px; background: transparent; color: inherit; font: inherit; cursor: pointer; }
button:focus-visible { outline: 2px solid; outline-offset: 2px; }
@media (pointer: coarse) { button { min-height: 44px; } }
@media (forced-colors: active) { [part=line], [part=end] { stroke: CanvasText; } }
`;
