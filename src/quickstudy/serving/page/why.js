// Where it looked, and the nearest training examples.

import { el, figure, NOUNS, piles } from "./dom.js";
import { ask } from "./talk.js";

const TITLES = { image: "Where it looked", sound: "Where it listened", table: "What counted" };
const COUNTED = 10; // columns shown
const CELLS = 4; // of a nearest row
let chosen = 0; // choices made so far: each needs an id

/** Return the section; `body` is what `/explain` is sent: a file, or one row as JSON. */
export function why(body, type, model) {
  const inside = el("div", { className: "why" });
  const section = el("section", {}, el("h3", {}, TITLES[model.kind]), inside);
  const load = async (of) => {
    const back = inside.contains(document.activeElement); // the focus goes back to where it was
    inside.setAttribute("aria-busy", "true");
    if (!inside.children.length) inside.append(el("p", { className: "muted" }, "Looking…"));
    const address = `explain?model=${encodeURIComponent(model.name)}${of ? `&of=${encodeURIComponent(of)}` : ""}`;
    try {
      const told = await ask("POST", address, body, { type });
      inside.replaceChildren(...shown(told, model, load));
      if (back) inside.querySelector("select")?.focus();
    } catch (problem) {
      inside.replaceChildren(el("p", { className: "muted" }, `No explanation: ${problem.message} ${problem.hint ?? ""}`));
    }
    inside.removeAttribute("aria-busy");
  };
  load(null);
  return section;
}

function shown(told, model, load) {
  const words = [el("p", { className: "sentence" }, told.sentence), choice(told, model, load)];
  const seen = model.kind === "table" ? [...words, columns(told, model)] : [map(told, model, words)];
  return [...seen, ...near(told, model, load)].filter(Boolean);
}

/** Return what chooses another answer to explain. */
function choice(told, model, load) {
  if (model.classes.length < 2) return null;
  const id = `of-${++chosen}`;
  const select = el("select", { id }, model.classes.map((name) => el("option", { value: name, selected: name === told.of }, name)));
  select.onchange = () => load(select.value);
  return el("p", {}, el("label", { for: id }, "What speaks for"), " ", select);
}

/** Return the map over what was looked at, which one can take away, beside the words. */
function map(told, model, words) {
  if (!told.overlay) return el("div", {}, words);
  const sound = model.kind === "sound";
  const plain = sound ? "What it heard: time runs to the right, high tones are up, bright is loud." : "What it was shown.";
  const caption = el("figcaption", { className: "muted" });
  const image = el("img");
  const switched = el("input", { type: "checkbox", checked: true });
  const turn = () => {
    image.src = switched.checked ? told.overlay : told.picture;
    image.alt = switched.checked ? `The map: ${told.sentence}` : plain;
    caption.textContent = switched.checked ? `Bright is what counted for ${told.of}. It says where, not why.` : plain;
  };
  switched.onchange = turn;
  turn();
  const players = [[told.sound, "What it heard"], [told.part, "What counted; all else is turned down"]]
    .filter(([source]) => source)
    .map(([source, name]) => el("div", {}, el("p", { className: "muted" }, name), el("audio", { controls: true, src: source, "aria-label": name })));
  return el("div", { className: sound ? "one heard" : "one pictured" },
    el("figure", {}, image, caption),
    el("div", { className: "told" }, words, el("p", {}, el("label", {}, switched, " Show the map")), players),
  );
}

function columns(told, model) {
  const most = Math.max(...told.columns.map((one) => Math.abs(one.share)), 1e-12);
  const numbers = model.task === "regression";
  const signed = (share) => (share < 0 ? "−" : "+") + (numbers ? figure(Math.abs(share)) : `${(100 * Math.abs(share)).toFixed(1)} points`);
  const row = (one) => {
    const bar = el("span", { className: one.share < 0 ? "barred less" : "barred", "aria-hidden": "true" });
    bar.style.width = `${(100 * Math.abs(one.share)) / most}%`;
    return el("tr", {},
      el("th", { scope: "row" }, one.column, el("small", { className: "muted" }, `${one.cell} (usual: ${one.usual})`)),
      el("td", {}, one.share ? signed(one.share) : "0", el("span", { className: "rail" }, bar)),
    );
  };
  const head = el("tr", {}, el("th", { scope: "col" }, "Column"), el("th", { scope: "col" }, `Adds to ${told.of}`));
  const ordered = [...told.columns].sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
  const list = (some) => el("table", { className: "counted" }, el("thead", {}, head.cloneNode(true)), el("tbody", {}, some.map(row)));
  const rest = ordered.slice(COUNTED);
  return el("div", {},
    list(ordered.slice(0, COUNTED)),
    rest.length ? el("details", {}, el("summary", {}, `The other ${rest.length}`), list(rest)) : null,
    el("p", { className: "muted" }, "From the most usual row to this one. It says what counted for the model, not what causes anything."),
  );
}

/** Return the nearest training examples, or why there are none. */
function near(told, model, load) {
  const title = el("h3", {}, `The nearest training ${NOUNS[model.kind][1]}`);
  if (!told.neighbours?.length) {
    if (!told.about) return [];
    const again = el("button", { type: "button" }, "Look again");
    again.onclick = () => load(told.of);
    return [title, el("p", { className: "muted" }, told.about), told.about.includes("again") ? again : null];
  }
  const labels = told.neighbours.map((one) => one.label || "no label");
  const agreed = new Set(labels).size === 1 ? `All ${labels.length} are ${labels[0]}` : `They are: ${piles(labels)}`;
  return [
    title,
    el("p", {}, `${agreed}, of ${told.compared.toLocaleString("en")} compared.`),
    el("ul", { className: `near ${model.kind}` }, told.neighbours.map((one) => neighbour(one, told))),
  ];
}

function neighbour(one, told) {
  const sound = one.thumbnail?.startsWith("data:audio");
  const name = one.name.split(/[/\\]/).at(-1);
  const media = !one.thumbnail ? null
    : sound ? el("audio", { controls: true, src: one.thumbnail, "aria-label": name })
    : el("img", { src: one.thumbnail, alt: "" });
  const counted = told.columns.map((column) => column.column).filter((column) => one.cells?.[column]);
  const cells = counted.slice(0, CELLS).map((column) => el("small", {}, `${column}: ${one.cells[column]}`));
  const label = one.label.replaceAll(";", ", ") || "no label";
  const words = el("figcaption", {}, el("b", {}, label), el("small", { className: "muted", title: one.name }, name), cells);
  return el("li", {}, el("figure", {}, media, words));
}
