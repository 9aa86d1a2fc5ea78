// What the model said, of one example or of many.

import { BETWEEN, counted, el, figure, NOUNS, percent, piles, stretch } from "./dom.js";

const FIRST = 5; // classes shown before "show all"
export const NONE = "None of these";

/** Return the answer in a few words: for lists, and for those who listen. */
export function inShort(said, model) {
  if (said.error) return "not read";
  if (said.values) {
    const all = Object.entries(said.values);
    const told = all.slice(0, 3).map(([name, value]) => `${name} ${figure(value)}`).join(", ");
    return said.unknown ? `${told} (unlike all it learnt from)` : told;
  }
  if (model.task === "multilabel") {
    const told = said.labels.length ? said.labels.join(", ") : "none of its labels";
    return said.unknown ? `${told} (unlike all it learnt from)` : told;
  }
  return said.unknown ? NONE : `${said.label}, ${percent(said.probability)}`;
}

/** Return the class that counts an answer among many: "none of these" and "not read" too. */
export function pile(said) {
  if (said.error) return "not read";
  if (said.unknown) return NONE.toLowerCase();
  return said.label ?? "";
}

const sure = (said) => (said.coverage ? `${figure(100 * said.coverage)}${BETWEEN}% sure: ` : "");

/** Return headline and the sentences below it. */
function headline(said, model) {
  const lines = [];
  const [one] = NOUNS[model.kind];
  const strange = `This ${one} is unlike all it learnt from`;
  if (model.task === "multilabel") {
    lines.push(el("p", { className: "headline" }, said.labels.length ? said.labels.join(", ") : "None of its labels"));
    if (said.unknown) lines.push(el("p", { className: "notes" }, `${strange}: do not rely on this.`));
    if (said.labels_set) lines.push(el("p", {}, `${sure(said)}no others than ${said.labels_set.join(", ") || "none"}.`));
    return lines;
  }
  if (said.unknown) {
    lines.push(el("p", { className: "headline" }, NONE));
    lines.push(el("p", { className: "notes" }, `${strange}. The likeliest would be ${said.label} (${percent(said.probability)}), but do not rely on it.`));
  } else {
    lines.push(el("p", { className: "headline" }, said.label, " ", el("span", { className: "sure" }, percent(said.probability))));
  }
  if (said.labels_set) lines.push(el("p", {}, `${sure(said)}${said.labels_set.join(" or ")}.`));
  return lines;
}

function numbers(said) {
  const all = Object.entries(said.values);
  const range = (name) => {
    const [low, high] = said.ranges[name];
    return low === null || high === null ? "any number: too few were held out" : `${figure(low)} to ${figure(high)}`;
  };
  const lines = [];
  if (said.unknown) lines.push(el("p", { className: "notes" }, "This is unlike all it learnt from: do not rely on it."));
  if (all.length === 1) {
    const [[name, value]] = all;
    lines.unshift(el("p", { className: "headline" }, `${name} `, el("b", {}, figure(value))));
    if (said.ranges) lines.push(el("p", {}, `${sure(said)}${range(name)}.`));
    return lines;
  }
  const ends = said.ranges ? el("th", { scope: "col" }, sure(said).slice(0, -2) || "Range") : null;
  const head = el("tr", {}, el("th", { scope: "col" }, "Number"), el("th", { scope: "col", className: "n" }, "Value"), ends);
  const rows = all.map(([name, value]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", { className: "n" }, figure(value)), said.ranges ? el("td", {}, range(name)) : null),
  );
  return [...lines, el("div", { className: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, rows)))];
}

/** Return probabilities as bars: the likeliest, and a button for the others. */
function bars(said, model) {
  const best = Object.entries(said.probabilities).sort((a, b) => b[1] - a[1]);
  const named = new Set(model.task === "multilabel" ? said.labels : said.unknown ? [] : [said.label]);
  const line = ([name, share]) => {
    const fill = el("span");
    fill.style.width = `${100 * share}%`;
    return el("li", { className: named.has(name) ? "yes" : "" },
      el("span", { className: "name" }, name),
      el("span", { className: "bar", "aria-hidden": "true" }, fill),
      el("span", { className: "share" }, percent(share)),
    );
  };
  const list = el("ol", { className: "bars", "aria-label": "Probabilities" }, best.slice(0, FIRST).map(line));
  if (best.length <= FIRST) return [list];
  const names = [`Show all ${best.length.toLocaleString("en")}`, `Show only the likeliest ${FIRST}`];
  const more = el("button", { type: "button", className: "plain", "aria-expanded": "false" }, names[0]);
  more.onclick = () => {
    const all = more.getAttribute("aria-expanded") === "false";
    more.setAttribute("aria-expanded", String(all));
    more.textContent = names[Number(all)];
    list.replaceChildren(...(all ? best : best.slice(0, FIRST)).map(line));
  };
  return [list, more];
}

/** Return a player, with what is heard when below it, each stretch a button that plays it. */
function player(source, said, model) {
  const audio = el("audio", { controls: true, src: source, preload: "metadata" });
  const lost = el("p", { className: "muted", hidden: true }, "This browser cannot play this file; the server could read it.");
  audio.onerror = () => ([audio.hidden, lost.hidden] = [true, false]);
  const parts = said.timeline ?? [];
  if (!parts.length) return el("div", {}, audio, lost);
  const long = parts.at(-1).to;
  const place = (made, one) => {
    made.style.left = `${(100 * one.from) / long}%`;
    made.style.width = `${(100 * (one.to - one.from)) / long}%`;
    return made;
  };
  const tone = (label) => (label === null ? "silent" : `t${model.classes.indexOf(label) % 10}`);
  const said_of = (one) => (one.label === null ? "silence" : `${one.label}, ${percent(one.probability)}`);
  const strip = parts.map((one) => place(el("span", { className: tone(one.label), title: said_of(one) }), one));
  const head = el("span", { className: "playhead" });
  const lines = parts.map((one) => {
    const button = el("button", { type: "button", className: "plain" }, stretch(one.from, one.to, long));
    button.onclick = () => {
      audio.currentTime = one.from;
      audio.play().catch(() => {}); // a browser that cannot play it has said so above
    };
    return el("li", {}, el("span", { className: `swatch ${tone(one.label)}`, "aria-hidden": "true" }), button, " ", said_of(one));
  });
  audio.ontimeupdate = () => {
    head.style.left = `${Math.min(100, (100 * audio.currentTime) / long)}%`;
    parts.forEach((one, n) => lines[n].classList.toggle("now", one.from <= audio.currentTime && audio.currentTime < one.to));
  };
  return el("div", {}, audio, lost,
    el("div", { className: "strip", "aria-hidden": "true" }, strip, head),
    el("h3", {}, "What is heard when"),
    el("ol", { className: "timeline" }, lines),
  );
}

/** Return a picture; where the browser cannot show it, a word. */
export function picture(source, name) {
  const shown = el("img", { src: source, alt: name, decoding: "async" });
  shown.onerror = () => shown.replaceWith(el("p", { className: "blank muted" }, "This browser cannot show this file; the server could read it."));
  return shown;
}

/** Return all that is said of one example; `given` has name, and a `source` if it was a file. */
export function whole(given, said, model) {
  const words = said.values ? numbers(said) : [...headline(said, model), ...bars(said, model)];
  const shown = model.kind === "image" && given.source ? el("figure", {}, picture(given.source, given.name), el("figcaption", { className: "muted" }, given.name)) : null;
  const heard = model.kind === "sound" && given.source ? player(given.source, said, model) : null;
  const told = el("div", { className: "told" }, heard && el("p", { className: "muted" }, given.name), words, heard);
  return el("div", { className: shown ? "one pictured" : "one" }, shown, told);
}

/** Return how many there are of each answer, in words. */
export function tally(answers, model) {
  const unread = answers.filter((said) => said.error).length;
  const rest = model.task === "classification" ? piles(answers.map(pile)) : unread ? `${unread} not read` : "";
  return counted(answers.length, NOUNS[model.kind]) + (rest ? `: ${rest}.` : ".");
}

/** Return answers as CSV text. */
export function csv(given, answers, model) {
  const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const safe = (cell) => quote(/^[=+@\t]/.test(cell) ? `'${cell}` : cell); // no formula for a spreadsheet
  const [many, what] = [model.task === "regression", model.task === "multilabel" ? "labels" : "label"];
  const head = ["name", ...(many ? model.classes : [what, "probability", ...model.classes]), "unknown", "error"];
  const lines = answers.map((said, n) => {
    const each = model.classes.map((name) => String((many ? said.values : said.probabilities)?.[name] ?? ""));
    const first = many ? [] : [said.labels ? said.labels.join(";") : (said.label ?? ""), String(said.probability ?? "")];
    return [given[n].name, ...first, ...each, said.unknown ? "yes" : "", said.error ?? ""].map(safe).join(",");
  });
  return [head.map(safe).join(","), ...lines].join("\r\n") + "\r\n";
}
