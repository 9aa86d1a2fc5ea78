"""The look of the page: system fonts, one blue, one orange, light and dark, paper."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--bg:#fff;--soft:#f4f5f7;--line:#dcdfe4;--ink:#1b1f24;--mute:#59636e;
--blue:#1f5fae;--orange:#b4530a;--blue-rgb:46,120,210;--orange-rgb:226,120,30;--note:#fff6e6;
--t0:#8a94a0;--t1:#5b8fd0;--t2:#b98bd0;--t3:#4aa79b;--t4:#88a63c;--t5:#1f5fae;--t6:#d98a3d;
--t7:#d3b53a;--t8:#c46a7c;--t9:#c9bfa6}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--soft:#1d2125;--line:#343a41;--ink:#e7eaed;
--mute:#a0a9b3;--blue:#7db4f5;--orange:#f0a45c;--blue-rgb:80,145,240;--orange-rgb:225,120,40;
--note:#2c2415;--t5:#4f8fe0}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:62rem;background:var(--bg);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:break-word}
h1,h2,h3,p,ul,ol,dl,figure,pre{margin:0}
h1,code,dd,figcaption,.notes,.headline{overflow-wrap:anywhere}
h1{font-size:1.25rem;line-height:1.3}
h2{font-size:1.25rem;line-height:1.3;margin:0 0 .75rem}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
p{max-width:44rem}
p+p{margin-top:.5rem}
section{margin-top:2.75rem}
section>p{margin-bottom:.9rem}
ul+p{margin-top:.75rem}
ul+.charts{margin-top:1.25rem}
small{font-size:.8125rem}
ul{padding-left:1.2rem}
code,pre{font-family:ui-monospace,"SF Mono","Cascadia Mono",Menlo,Consolas,monospace;
font-size:.875em}
a{color:var(--blue)}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
.muted{color:var(--mute)}
nav{display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin-top:.75rem;padding:.4rem 0;font-size:.875rem;
border-block:1px solid var(--line)}
nav a{text-decoration:none;padding:.2rem 0}
nav a:hover{text-decoration:underline}
.verdict{display:grid;gap:1rem 2.5rem;align-items:center}
.headline{font-size:1.5rem;line-height:1.3;font-weight:600;letter-spacing:-.01em}
.sure{font-size:1.125rem;font-weight:400;letter-spacing:0}
.second{font-size:1.125rem;line-height:1.4;font-weight:600}
.second .sure{font-size:1rem}
.gauge{max-width:28rem}
.apart{display:grid;gap:1rem 2.5rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),
1fr));
max-width:44rem;margin-bottom:1rem}
.apart figure{display:flex;flex-direction:column}
.apart figcaption{margin-bottom:auto}
.apart figcaption small{display:block;color:var(--mute)}
.whole{white-space:nowrap}
.notes{margin-top:1.25rem;padding:.7rem 1rem .7rem 2rem;background:var(--note);
border-left:3px solid var(--orange);border-radius:0 4px 4px 0}
svg{display:block;width:100%;height:auto;font-size:11px;fill:var(--mute);overflow:visible}
svg .strong{fill:var(--ink);font-weight:600;font-size:13px}
.track{stroke:var(--line);stroke-width:6;stroke-linecap:round}
.band{fill:rgba(var(--blue-rgb),.35)}
.dot{fill:var(--ink)}
.guess{stroke:var(--orange);stroke-width:2}
.grid{stroke:var(--line);stroke-width:.6}
.axis{stroke:var(--mute);stroke-width:.8}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.line.c1{stroke:var(--mute)}
.line.c2{stroke:var(--blue)}
.line.c3{stroke:var(--orange);stroke-width:1.4}
.dots .c1{fill:var(--mute)}
.dots .c2{fill:var(--blue)}
.equal{stroke:var(--orange);stroke-width:1.4}
.points{fill:rgba(var(--blue-rgb),.55)}
.bin{fill:rgba(var(--blue-rgb),.7)}
.charts{display:grid;gap:1.5rem 2.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),
1fr));
max-width:62rem}
.charts figure>small{color:var(--mute)}
figcaption{font-size:.875rem}
.charts figcaption>span{margin-left:1rem;color:var(--mute)}
.key{display:inline-block;width:1.1rem;height:0;margin-right:.35rem;vertical-align:middle;
border-top:3px solid var(--mute)}
.key.c2{border-color:var(--blue)}
.scroll{overflow-x:auto;margin-bottom:1rem}
table{border-collapse:collapse;font-size:.9375rem;min-width:min(100%,22rem)}
th,td{padding:.4rem .9rem .4rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line)}
th{font-weight:500}
thead th{color:var(--mute);font-size:.8125rem;white-space:nowrap;vertical-align:bottom}
tbody th{min-width:5rem;max-width:20rem}
.n{text-align:right;white-space:nowrap}
.measure{display:grid;grid-template-columns:auto 1fr;gap:0 .5rem;align-items:center;
min-width:9.5rem}
.measure small{grid-column:1/-1;color:var(--mute);white-space:nowrap}
.measure b{font-weight:500;white-space:nowrap}
.iv{position:relative;display:inline-block;width:5.5rem;height:.55rem;border-radius:2px;
background:linear-gradient(rgba(var(--blue-rgb),
.8) 0 0) 0/calc(var(--v)*1%) 100% no-repeat var(--soft);
box-shadow:inset 0 0 0 1px var(--line)}
.iv:after{content:"";position:absolute;top:-3px;bottom:-3px;left:calc(var(--lo)*1%);
width:calc((var(--hi) - var(--lo))*1%);background:rgba(var(--orange-rgb),.45);border-radius:2px}
.heat{min-width:0}
.heat td,.heat th{border:1px solid var(--bg);padding:.35rem .6rem;vertical-align:middle}
.heat tbody th,.heat thead th{max-width:11rem;overflow:hidden;text-overflow:ellipsis;
white-space:nowrap;
color:var(--ink)}
.heat td{text-align:right;min-width:2.75rem}
.heat .corner{font-size:.75rem;white-space:nowrap;text-align:left;vertical-align:bottom}
.heat.wide td,.heat.wide th{padding:.3rem .35rem}
.heat.wide tbody td{min-width:2.25rem;font-size:.8125rem}
.heat.wide thead th{vertical-align:bottom;text-align:left}
.heat.wide thead span{display:inline-block;white-space:nowrap;text-overflow:ellipsis;
writing-mode:vertical-rl;transform:rotate(180deg);max-height:9rem;
overflow:hidden}
.hit{background:rgba(var(--blue-rgb),var(--a))}
.miss{background:rgba(var(--orange-rgb),calc(var(--a) + .1))}
.none{color:var(--mute);background:var(--soft)}
.pictures{display:grid;gap:1rem;padding:0;list-style:none;
grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr))}
.pictures img,.blank{display:block;width:100%;aspect-ratio:1;object-fit:contain;
background:var(--soft);
border-radius:4px}
.blank{display:grid;place-items:center}
.sounds{grid-template-columns:repeat(auto-fill,minmax(min(100%,16rem),1fr))}
.sounds img,.sounds .blank{aspect-ratio:5/2;object-fit:fill}
.cells{grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr))}
.cells img{aspect-ratio:auto}
audio{display:block;width:100%;height:2.5rem;margin-top:.4rem}
.pictures figcaption{margin-top:.3rem;line-height:1.35}
.pictures figcaption>*{display:block}
details{margin:.25rem 0 .75rem}
summary{cursor:pointer;padding:.25rem 0;color:var(--blue)}
td details{margin:0;min-width:15rem}
td summary{padding:0}
.badge{display:inline-block;padding:0 .5rem;border:1px solid var(--blue);border-radius:1rem;
color:var(--blue);font-size:.8125rem;font-weight:500;white-space:nowrap}
.stack{list-style:none;padding:0;border-left:2px solid var(--line)}
.stack>li{position:relative;padding-left:.9rem;border-bottom:1px solid var(--line)}
.stack>li:before{content:"";position:absolute;left:-5px;top:.85rem;width:8px;height:8px;
border-radius:50%;
background:var(--bg);border:2px solid var(--mute)}
.stack>.block:before{background:var(--mute);border-radius:2px}
.stack>.end{padding-block:.35rem;border-bottom:0;font-weight:600}
.stack>.end:first-child{border-bottom:1px solid var(--line)}
.stack>.end:before{background:var(--blue);border-color:var(--blue)}
.stack details{margin:0}
.stack .stack{margin:0 0 .5rem .3rem}
.stack .stack>li:last-child{border-bottom:0}
.stack summary{list-style:none;padding:0;color:inherit}
.stack summary::-webkit-details-marker{display:none}
.stack summary b:before{content:"▸ ";color:var(--blue)}
.stack details[open]>summary b:before{content:"▾ "}
.stack summary:hover{background:var(--soft)}
.row{display:flex;flex-wrap:wrap;gap:.1rem .75rem;padding:.35rem 0;align-items:baseline;
font-size:.9375rem}
.row>:first-child{flex-basis:100%}
.row b{font-weight:600}
.row code{font-size:.8125rem}
.heads{display:none;color:var(--mute);font-size:.8125rem;border-bottom:1px solid var(--line)}
.makes,.holds,.share{white-space:nowrap;font-size:.8125rem}
.share .iv{width:1.75rem;margin-right:.4rem}
.stages{display:flex;height:1.4rem;margin-bottom:.75rem;border-radius:4px;overflow:hidden;gap:1px}
.stages span{min-width:2px;flex-basis:0}
.swatch{display:inline-block;width:.75rem;height:.75rem;margin-right:.5rem;border-radius:2px}
.t0{background:var(--t0)}.t1{background:var(--t1)}.t2{background:var(--t2)}.t3{background:var(--t3)}
.t4{background:var(--t4)}.t5{background:var(--t5)}.t6{background:var(--t6)}.t7{background:var(--t7)}.t8{background:var(--t8)}
.t9{background:var(--t9)}
.choices{width:100%}
.choices td:nth-child(2){max-width:16rem}
.choices td:nth-child(2) b{font-weight:600}
.names td,.names th{overflow-wrap:anywhere}
.names tbody th{min-width:8rem}
.rows tbody th{min-width:4rem}
.rows td{overflow-wrap:break-word}
.columns td:nth-child(4),.fates td:nth-child(6),.wordy tbody th{min-width:10rem}
.columns tbody th{min-width:7rem;overflow-wrap:anywhere}
@media(max-width:45.99rem){
.choices,.choices tbody{display:block}
.choices thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
.choices tr{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:0 1rem;padding:.4rem 0;
border-bottom:1px solid var(--line)}
.choices th,.choices td{padding:0;border:0;max-width:none!important}
.choices td:nth-child(2){text-align:right;overflow-wrap:anywhere}
.choices td:nth-child(3){grid-column:1/-1;color:var(--mute);font-size:.875rem}}
.facts{display:grid;gap:.35rem 1.5rem;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr))}
dt{color:var(--mute);font-size:.8125rem}
dd{margin:0}
pre{padding:.8rem 1rem;background:var(--soft);border-radius:4px;white-space:pre-wrap}
footer{margin-top:3rem;padding-top:.75rem;border-top:1px solid var(--line);color:var(--mute);
font-size:.875rem}
@media(min-width:46rem){
body{padding-inline:2rem}
.verdict{grid-template-columns:minmax(0,1.2fr) minmax(18rem,1fr)}
.headline{font-size:1.75rem}
.choices th:first-child{width:15rem}
.choices td:nth-child(2){width:14rem}
.iv{width:7rem}
.share .iv{width:4.5rem}
.row{display:grid;grid-template-columns:minmax(0,1fr) 9.5rem 6rem 9rem;gap:.75rem}
.heads{display:grid;padding-left:1rem}
.holds{text-align:right}
.heads>:nth-child(3){text-align:right}
.narrow{display:none}}
@media print{
:root{--bg:#fff;--soft:#f4f5f7;--line:#ccc;--ink:#000;--mute:#444;--note:#fff}
body{max-width:none;padding:0;font-size:10pt}
nav,audio{display:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.scroll{overflow:visible}
section{margin-top:1.5rem}
h2,h3{break-after:avoid}
tr,figure,.pictures li,.row{break-inside:avoid}}
"""
