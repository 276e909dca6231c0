#include "front/http/page_assets.h"

namespace holdfast::front {

const std::string_view kPageStyle = R"css(
:root {
  color-scheme: light dark;
  --ground: #f6f5f1; --card: #ffffff; --ink: #1d2a2a; --soft: #4f5c5b; --faint: #e4e3dc; --hover: #f3f6f4;
  --kelp: #1f6f5c; --kelp-soft: #dcebe5; --amber: #8a5a00; --amber-soft: #fbeccb; --red: #a32a22; --red-soft: #f9dedb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #10181a; --card: #182224; --ink: #e3ebe8; --soft: #93a5a2; --faint: #28363a; --hover: #1e2b2d;
    --kelp: #66c9ab; --kelp-soft: #1b3b34; --amber: #e8b65c; --amber-soft: #41331a; --red: #f08a80; --red-soft: #472320;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
.page { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
a { color: inherit; text-decoration-color: var(--soft); text-decoration-thickness: 1px; text-underline-offset: 3px; }
a:hover { color: var(--kelp); text-decoration-color: currentColor; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--kelp); outline-offset: 3px; border-radius: 3px; }
header { display: flex; align-items: center; gap: .75rem; flex-wrap: wrap; margin-bottom: 1.5rem; }
header svg { width: 2.1rem; height: 2.1rem; color: var(--kelp); flex: none; }
header h1 { font-size: 1.2rem; font-weight: 650; letter-spacing: -.01em; margin: 0; }
header .where { color: var(--soft); }
header .live { margin-left: auto; color: var(--soft); font-size: .87rem; max-width: 34rem; }
.silent .live { color: var(--red); font-weight: 600; }
.silent main { opacity: .55; }
.verdict { display: flex; gap: .85rem; align-items: flex-start; padding: 1rem 1.15rem; border-radius: .8rem;
  background: var(--kelp-soft); margin-bottom: 1.25rem; }
.verdict p { margin: 0; }
.verdict .main { font-size: 1.08rem; font-weight: 600; overflow-wrap: anywhere; }
.verdict .why { color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.verdict .dot { margin-top: .5rem; }
.verdict.weak { background: var(--amber-soft); }
.verdict.broken { background: var(--red-soft); }
.dot { display: inline-block; flex: none; width: .62rem; height: .62rem; border-radius: 50%; background: var(--kelp); }
.weak .dot, .dot.weak { background: var(--amber); }
.broken .dot, .dot.broken { background: var(--red); }
.figures { display: grid; grid-template-columns: repeat(4, 1fr); gap: .75rem; margin: 0 0 1.75rem; }
.figures div { background: var(--card); border: 1px solid var(--faint); border-radius: .8rem; padding: .7rem .95rem; }
.figures dt { color: var(--soft); font-size: .82rem; }
.figures dd { margin: 0; font-size: 1.3rem; font-weight: 600; letter-spacing: -.01em; }
.figures dd small { display: inline-block; white-space: nowrap; line-height: 1.3; font-size: .82rem; font-weight: 400; color: var(--soft); letter-spacing: 0; }
h2 { font-size: 1rem; font-weight: 650; margin: 0 0 .6rem; }
h2 small, h3 small { font-weight: 400; color: var(--soft); font-size: .87rem; margin-left: .4rem; }
h3 { font-size: .92rem; font-weight: 600; margin: 0; padding: .75rem 1.1rem .1rem; }
section { margin-bottom: 1.9rem; }
.card { background: var(--card); border: 1px solid var(--faint); border-radius: .8rem; overflow: hidden; margin-bottom: .75rem; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 500; font-size: .82rem; color: var(--soft); padding: .55rem 1.1rem .4rem; white-space: nowrap; }
td { padding: .5rem 1.1rem; border-top: 1px solid var(--faint); vertical-align: top; }
tbody tr:hover { background: var(--hover); }
@media (min-width: 44.01rem) {
  .servers table { table-layout: fixed; }
  .servers th:nth-child(1) { width: 21%; } .servers th:nth-child(2) { width: 15%; } .servers th:nth-child(3) { width: 19%; }
  .servers th:nth-child(4) { width: 9%; } .servers th:nth-child(5), .servers th:nth-child(6) { width: 10%; }
  .servers td.name { overflow-wrap: anywhere; }
}
.number { text-align: right; white-space: nowrap; }
td .dot { margin-right: .55rem; }
.state { white-space: nowrap; }
.state.long { white-space: normal; }
.tag { display: inline-block; font-size: .76rem; line-height: 1.35rem; padding: 0 .5rem; border-radius: .7rem; margin-left: .45rem;
  background: var(--faint); color: var(--soft); white-space: nowrap; }
.tag.lead { background: var(--kelp-soft); color: var(--kelp); font-weight: 600; }
button { font: inherit; font-size: .87rem; color: inherit; background: var(--card); border: 1px solid var(--soft); border-radius: .5rem;
  padding: .2rem .7rem; cursor: pointer; }
button:hover { background: var(--hover); }
button:focus-visible, input:focus-visible { outline: 2px solid var(--kelp); outline-offset: 2px; }
button:disabled { opacity: .5; cursor: default; }
button.act { color: var(--kelp); border-color: currentColor; font-weight: 600; }
td .act { font-size: .76rem; line-height: 1.3rem; padding: 0 .5rem; margin-left: .45rem; border-radius: .7rem; }
dialog { color: var(--ink); background: var(--card); border: 1px solid var(--faint); border-radius: .8rem; padding: 1.2rem 1.3rem;
  max-width: 27rem; width: calc(100vw - 2rem); }
dialog::backdrop { background: rgb(0 0 0 / .45); }
dialog h2 { font-size: 1.08rem; overflow-wrap: anywhere; }
dialog p { margin: .5rem 0; }
dialog .error { color: var(--red); }
dialog .error:empty { display: none; }
dialog .buttons { display: flex; justify-content: flex-end; gap: .6rem; margin-top: 1rem; }
dialog .buttons button { padding: .35rem .9rem; }
label input { display: block; width: 100%; margin-top: .25rem; font: inherit; color: inherit; background: var(--ground);
  border: 1px solid var(--soft); border-radius: .5rem; padding: .35rem .6rem; }
.lease { margin: 0; padding: .8rem 1.1rem .5rem; overflow-wrap: anywhere; }
.votes { list-style: none; margin: 0; padding: .6rem 1.1rem .7rem; border-top: 1px solid var(--faint); color: var(--soft); font-size: .87rem; }
.votes strong { font-weight: 500; color: var(--ink); }
.alarms { list-style: none; margin: 0 0 1.25rem; padding: .3rem 1.15rem; border-radius: .8rem; background: var(--amber-soft); }
.alarms li { padding: .3rem 0; overflow-wrap: anywhere; }
.alarms small { color: var(--soft); }
.add { display: flex; flex-wrap: wrap; align-items: center; gap: .6rem; font-size: .9rem; }
.add[hidden] { display: none; }
.add label { color: var(--soft); }
.add input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--soft); border-radius: .5rem; padding: .2rem .6rem; width: 15rem; max-width: 100%; }
.matrix { width: auto; margin: .3rem .5rem .6rem; }
.matrix th { color: var(--soft); text-align: left; padding: .3rem .7rem; white-space: normal; overflow-wrap: anywhere; }
.matrix td { text-align: center; padding: .3rem .7rem; border: 0; min-width: 2.2rem; color: var(--soft); }
.matrix td.yes { color: var(--kelp); }
.matrix td.stream { color: var(--amber); font-weight: 600; }
.matrix td.no { color: var(--red); background: var(--red-soft); font-weight: 600; }
.matrix td.self { background: var(--faint); }
.matrix tbody tr:hover { background: none; }
.ids { color: var(--soft); overflow-wrap: anywhere; min-width: 7rem; }
meter { width: 6.5rem; height: .55rem; vertical-align: .06rem; margin-right: .6rem; border: 0; border-radius: .3rem;
  background: var(--faint); appearance: none; -webkit-appearance: none; }
meter::-webkit-meter-bar { background: var(--faint); border: 0; border-radius: .3rem; height: .55rem; }
meter::-webkit-meter-inner-element { appearance: none; -webkit-appearance: none; }
meter::-webkit-meter-optimum-value { background: var(--kelp); border-radius: .3rem; }
meter::-webkit-meter-suboptimum-value { background: var(--amber); border-radius: .3rem; }
meter::-webkit-meter-even-less-good-value { background: var(--red); border-radius: .3rem; }
meter::-moz-meter-bar { background: var(--kelp); border-radius: .3rem; }
meter:-moz-meter-sub-optimum::-moz-meter-bar { background: var(--amber); }
meter:-moz-meter-sub-sub-optimum::-moz-meter-bar { background: var(--red); }
.chart { padding: .8rem 1.1rem .6rem; }
.lane { display: grid; grid-template-columns: minmax(6rem, 11rem) 1fr; gap: .8rem; align-items: center; margin: .2rem 0; }
.lane > span { overflow-wrap: anywhere; font-size: .87rem; }
.lane svg { width: 100%; height: .95rem; background: var(--ground); border-radius: .25rem; }
.lane .led { fill: var(--kelp); }
.lane .gap { fill: var(--red); }
.lane .mark { fill: var(--soft); stroke: var(--card); stroke-width: 1; }
.lane .mark.loss, .lane .mark.expiry { fill: var(--red); }
.lane .mark.conflict { fill: var(--amber); }
.legend { margin: .2rem 0 0; font-size: .78rem; color: var(--soft); display: flex; flex-wrap: wrap; gap: .2rem .35rem; align-items: center; }
.legend i { width: .5rem; height: .8rem; border-radius: .1rem; background: var(--soft); margin-left: .6rem; }
.legend i:first-child { margin-left: 0; }
.legend .loss, .legend .expiry { background: var(--red); }
.legend .conflict { background: var(--amber); }
.chart em { font-style: normal; flex: none; width: 5rem; color: var(--soft); }
.chart em.conflict { color: var(--amber); }
.chart em.loss, .chart em.expiry { color: var(--red); }
.axis div { display: flex; justify-content: space-between; color: var(--soft); font-size: .78rem; }
.chart ol { list-style: none; margin: .6rem 0 .2rem; padding: .5rem 0 0; border-top: 1px solid var(--faint); font-size: .87rem; }
.chart li { display: flex; gap: .8rem; padding: .1rem 0; }
.chart time { color: var(--soft); flex: none; }
.chart li span { overflow-wrap: anywhere; }
.empty { padding: 1.1rem; color: var(--soft); margin: 0; }
footer { color: var(--soft); font-size: .84rem; border-top: 1px solid var(--faint); padding-top: 1rem; overflow-wrap: anywhere; }
footer p { margin: 0 0 .2rem; }
@media (max-width: 62rem) {
  th, td { padding-left: .7rem; padding-right: .7rem; }
  .card h3 { padding-left: .7rem; }
  #masters table { table-layout: fixed; font-size: .87rem; }
  #masters th, #masters td { padding-left: .4rem; padding-right: .4rem; white-space: normal; overflow-wrap: anywhere; }
  #masters th { font-size: .72rem; overflow-wrap: normal; padding-left: .2rem; padding-right: .2rem; }
  #masters th:first-child { padding-left: .4rem; }
  #masters th:last-child, #masters td[data-is="Last heard"] { display: none; }
  #masters th:first-child { width: 24%; } #masters th:nth-child(2) { width: 13%; } #masters th:nth-child(3), #masters th:nth-child(4) { width: 7%; }
  meter { display: none; }
  .servers th:nth-child(3) { width: 12%; }
  .servers th:nth-child(4) { width: 12%; }
  .servers th:nth-child(5), .servers th:nth-child(6) { width: 13%; }
}
@media (max-width: 44rem) {
  .page { padding: 1rem .85rem 2rem; }
  header { margin-bottom: 1rem; }
  header .live { margin-left: 0; flex-basis: 100%; }
  .figures { grid-template-columns: 1fr 1fr; gap: .55rem; }
  .figures div { padding: .55rem .75rem; }
  .figures dd { font-size: 1.12rem; }
  thead { display: none; }
  table, tbody, tr, td { display: block; width: 100%; }
  tr { padding: .6rem .9rem; border-top: 1px solid var(--faint); }
  tbody tr:first-child { border-top: 0; }
  meter { display: inline-block; }
  #masters table { font-size: inherit; }
  #masters td { padding: .1rem 0; }
  #masters td[data-is="Last heard"]:not(.none) { display: flex; }
  #masters td.name { padding-bottom: .25rem; }
  .card h3 { padding-left: .9rem; }
  td { border: 0; padding: .1rem 0; display: flex; justify-content: space-between; gap: 1rem; text-align: right; white-space: normal; }
  td::before { content: attr(data-is); color: var(--soft); flex: none; text-align: left; }
  td.name { display: block; text-align: left; font-weight: 600; padding-bottom: .25rem; overflow-wrap: anywhere; }
  td.name .tag { font-weight: 500; }
  td.name::before { content: none; }
  td.none { display: none; }
  .chart { padding: .7rem .9rem .5rem; }
  .matrix { margin: .3rem .2rem .5rem; width: calc(100% - .4rem); }
  .matrix thead { display: table-header-group; } .matrix tbody { display: table-row-group; } .matrix tr { display: table-row; }
  .matrix td, .matrix th { display: table-cell; width: auto; padding: .25rem .35rem; }
  .matrix td::before { content: none; }
  .lease, .votes { padding-left: .9rem; padding-right: .9rem; }
  .chart li { flex-wrap: wrap; gap: 0 .6rem; }
  .chart li span { flex-basis: 100%; }
  .lane { grid-template-columns: 1fr; gap: .1rem; }
  .axis > span { display: none; }
  .card h3 + table tbody tr:first-child { border-top: 1px solid var(--faint); margin-top: .5rem; }
}
@media (prefers-reduced-motion: no-preference) {
  .dot, .verdict { transition: background-color .4s; }
}
@media print { header .live { display: none; } }
)css";

}  // namespace holdfast::front
