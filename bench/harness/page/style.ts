/** The page's style sheet; six colors that everybody can tell apart (Okabe and Ito). */
export const STYLE = `
:root {
	color-scheme: light dark;
	--paper: #fdfdfb; --card: #ffffff; --ink: #1d2327; --quiet: #626b73; --rule: #e3e5e3;
	--limit: #c2410c; --bar: #0072b2;
	--c0: #0072b2; --c1: #009e73; --c2: #cc79a7; --c3: #e69f00; --c4: #56b4e9; --c5: #7b61b5;
}
@media (prefers-color-scheme: dark) {
	:root {
		--paper: #14181b; --card: #1b2024; --ink: #e8eaeb; --quiet: #9aa4ac; --rule: #2d353b;
		--limit: #fb923c; --bar: #3b9bd6;
		--c0: #56b4e9; --c1: #2fc79a; --c2: #e29cc4; --c3: #f0b429; --c4: #8ed0f5; --c5: #b3a1e6;
	}
}
* { box-sizing: border-box; }
body {
	margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 68rem;
	font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
}
h1 { margin: 0 0 .25rem; font-size: 1.7rem; letter-spacing: -.01em; }
h2 { margin: 2.75rem 0 .25rem; font-size: 1.2rem; }
p { margin: .25rem 0 .75rem; color: var(--quiet); max-width: 52rem; }
code { font-size: .9em; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(27rem, 1fr)); gap: 1rem; }
figure {
	margin: 0; padding: .8rem .9rem .5rem; background: var(--card);
	border: 1px solid var(--rule); border-radius: 8px;
}
figure.wide { grid-column: 1 / -1; }
figcaption { font-weight: 600; font-size: .9rem; margin-bottom: .4rem; }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif; }
.label, .axis { fill: var(--quiet); }
.axis { font-style: italic; }
.value, .limit-label { paint-order: stroke; stroke: var(--card); stroke-width: 3; }
.value { fill: var(--ink); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); stroke-width: 1; }
.limit { stroke: var(--limit); stroke-width: 1.5; stroke-dasharray: 5 3; }
.mark { stroke: var(--limit); stroke-width: 3; }
.limit-label { fill: var(--limit); }
.bar { fill: var(--bar); }
.series { fill: none; stroke-width: 2; stroke-linejoin: round; }
.reference { stroke: var(--quiet); stroke-dasharray: 3 3; }
.color0 { stroke: var(--c0); } .color1 { stroke: var(--c1); } .color2 { stroke: var(--c2); }
.color3 { stroke: var(--c3); } .color4 { stroke: var(--c4); } .color5 { stroke: var(--c5); }
.interval { stroke-width: 3; stroke-linecap: round; }
.interval.ok { stroke: var(--c1); } .dot.ok { fill: var(--c1); }
.interval.inconclusive { stroke: var(--c3); } .dot.inconclusive { fill: var(--c3); }
.interval.regression { stroke: var(--limit); } .dot.regression { fill: var(--limit); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .75rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap; }
tr { border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; font-size: .85rem; color: var(--quiet); }
`;
