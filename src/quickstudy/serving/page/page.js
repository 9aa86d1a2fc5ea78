// The page: which model, what it is given, what it said.

import * as answers from "./answers.js";
import * as camera from "./camera.js";
import { $, bytes, counted, el, listed, NOUNS, percent } from "./dom.js";
import { listen } from "./giving.js";
import * as microphone from "./microphone.js";
import * as table from "./table.js";
import { ask, Problem, tokenOfAddress } from "./talk.js";
import { why } from "./why.js";

const AT_ONCE = { image: 8, sound: 8, table: 1000 }; // so that answers come before all is sent
const FRAME = 1000; // bytes of a form around one file
const SHOWN = 200; // answers in the list; the CSV has all
const ACCEPTS = { image: "image/*,.tif,.tiff,.heic,.avif,.webp", sound: "audio/*,.flac,.ogg,.opus,.aiff,.aif", table: ".csv,text/csv" };

let models = [];
let model = null;
let sources = []; // addresses of files given, to be let go
let running = null; // what stops the request under way

/** Say something; `hushed` what the page shows elsewhere, to those who listen alone. */
function status(text, hushed = false) {
  $("status").textContent = text;
  $("status").classList.toggle("hushed", hushed);
}

function problem(error) {
  if (error.name === "AbortError") return;
  status("");
  const whole = /[.!?]$/.test(error.message) ? error.message : `${error.message}.`;
  $("problem").replaceChildren(el("p", {}, el("b", {}, whole), error.hint ? ` ${error.hint}` : ""));
}

/** Show how one gives this model something. */
function show() {
  const [one, many] = NOUNS[model.kind];
  document.title = `${model.name} – Quickstudy`;
  $("name").textContent = model.name;
  $("facts").textContent = model.facts || "";
  const verb = { classification: "It answers with one of", multilabel: "It says which of these are there:", regression: "It answers with" }[model.task];
  $("knows").textContent = `${verb} ${listed(model.classes)}.`;
  const touch = matchMedia("(pointer: coarse)").matches;
  const [image, sound] = [model.kind === "image", model.kind === "sound"];
  const ways = { image: "Drop pictures anywhere on this page, paste one, or", sound: "Drop recordings anywhere on this page, or", table: "Drop a CSV file anywhere on this page, or" };
  $("give-title").textContent = `Ask about ${many}`;
  $("invite").textContent = touch ? "" : ways[model.kind];
  $("invite").hidden = touch;
  $("choose").textContent = model.kind === "table" ? "Choose a CSV file" : `Choose ${many}`;
  $("file").accept = ACCEPTS[model.kind];
  $("file").multiple = model.kind !== "table";
  $("camera").hidden = !(image && camera.lent());
  $("photo").hidden = !(image && touch);
  $("record").hidden = !(sound && microphone.lent());
  const { limits = {} } = model;
  const most = [
    limits.bytes && bytes(limits.bytes),
    image && limits.pixels && `${Math.round(limits.pixels / 1e6).toLocaleString("en")} megapixels`,
    sound && limits.seconds && `${Math.round(limits.seconds / 60)} minutes`,
  ].filter(Boolean);
  const lent = (image && camera.lent()) || (sound && microphone.lent()) || model.kind === "table";
  const why_not = lent ? "" : ` Browsers lend a ${image ? "camera" : "microphone"} only to pages over https or on this computer itself.`;
  $("limits").textContent = (most.length ? `A ${one} may have at most ${most.join(" and ")}.` : "") + why_not;
  if (model.kind === "table") {
    $("limits").textContent = "Its first line names the columns, the same as below.";
    table.form(model.columns, give);
  } else $("row").hidden = true;
  $("give").hidden = false;
}

function clear() {
  running?.abort();
  sources.forEach((one) => URL.revokeObjectURL(one));
  sources = [];
  $("problem").replaceChildren();
  $("said").replaceChildren();
  $("answer").hidden = true;
}

/** Return what is given as a list of `{name, source, body, type}`. */
async function examplesOf(given) {
  if (model.kind === "table") {
    const row = (cells, n) => ({ name: `row ${n}`, cells, body: JSON.stringify({ rows: [cells] }), type: "application/json" });
    if (!(given[0] instanceof File)) return given.map(row);
    if (given.length > 1) throw new Problem("These are several files.", "Give one CSV file at a time.");
    return (await table.rowsOf(given[0], model.columns)).map(row);
  }
  const most = model.limits?.bytes - FRAME;
  const large = given.find((file) => most && file.size > most);
  if (large && given.length === 1)
    throw new Problem(`${large.name} has ${bytes(large.size)}; the server takes at most ${bytes(most)}.`, "Give a smaller file.");
  return given.map((file) => {
    const source = URL.createObjectURL(file);
    sources.push(source);
    return { name: file.name, source, body: file, type: file.type || "application/octet-stream", tooLarge: most && file.size > most };
  });
}

/** Return the parts of a list that go in one request each. */
function parts(examples) {
  const { bytes: room = Infinity, files = Infinity, rows = Infinity } = model.limits ?? {};
  const most = Math.min(AT_ONCE[model.kind], model.kind === "table" ? rows : files);
  const found = [];
  let weight = Infinity;
  for (const one of examples) {
    const size = (one.body.size ?? one.body.length) + FRAME;
    if (!found.length || found.at(-1).length >= most || weight + size > room) {
      found.push([]);
      weight = 0;
    }
    found.at(-1).push(one);
    weight += size;
  }
  return found;
}

/** Return the body of a request about some examples, and its type. */
function bodyOf(some) {
  if (model.kind === "table") return [JSON.stringify({ rows: some.map((one) => one.cells) }), "application/json"];
  const form = new FormData();
  for (const one of some) form.append("files", one.body, one.name);
  return [form, undefined]; // the browser adds the boundary
}

/** Ask about what was given and show what is said. */
async function give(given) {
  if (!model || !given.length) return;
  clear();
  const stop = (running = new AbortController());
  const asked = model;
  try {
    const examples = await examplesOf(given);
    const said = await predicted(examples, stop.signal);
    if (running === stop && asked === model) tell(examples, said);
  } catch (error) {
    if (running === stop) problem(error);
  } finally {
    if (running === stop) {
      running = null;
      for (const id of ["progress", "stop"]) $(id).hidden = true;
    }
  }
}

/** Return predictions about all examples, asked for part by part. */
async function predicted(examples, signal) {
  const all = examples.filter((one) => !one.tooLarge);
  const total = all.reduce((sum, one) => sum + (one.body.size ?? 0), 0);
  const nouns = NOUNS[model.kind];
  const found = new Map();
  let gone = 0;
  const tell_of = (share) => {
    const doing = share < 1 ? `Sending: ${percent(share)} of ${bytes(total)}.` : "Asking the model…";
    status(all.length > 1 ? `${found.size.toLocaleString("en")} of ${counted(all.length, nouns)} answered. ${doing}` : doing);
    $("progress").value = Math.min(1, share);
    $("progress").hidden = !total || share >= 1;
  };
  $("stop").hidden = false;
  tell_of(total ? 0 : 1);
  for (const some of parts(all)) {
    const [body, type] = bodyOf(some);
    const sent = total ? (n) => tell_of(Math.min(1, (gone + n) / total)) : undefined;
    const busy = (seconds) => status(`The server is busy; asking again in ${seconds} s.`);
    const reply = await ask("POST", `predict?model=${encodeURIComponent(model.name)}`, body, { type, sent, busy, signal });
    if (reply?.predictions?.length !== some.length) throw new Problem("The server's answer is not about what was sent.", "Try again.");
    some.forEach((one, n) => found.set(one, reply.predictions[n]));
    gone += some.reduce((sum, one) => sum + (one.body.size ?? 0), 0);
  }
  const large = { label: null, probability: null, probabilities: {}, error: "larger than the server takes" };
  return examples.map((one) => found.get(one) ?? large);
}

function tell(examples, said) {
  const into = $("said");
  if (said.length === 1) {
    if (said[0].error) {
      problem(new Problem(`${examples[0].name}: ${said[0].error}`, `Give a ${NOUNS[model.kind][0]} file.`));
      return;
    }
    into.append(...detail(examples[0], said[0]));
    status(`Answer: ${answers.inShort(said[0], model)}.`, true);
  } else {
    into.append(...many(examples, said));
    status(answers.tally(said, model), true);
  }
  $("answer").hidden = false;
  $("answer").scrollIntoView({ block: "nearest" });
}

/** Return all there is to say of one example, and why. */
function detail(example, said) {
  const made = [answers.whole(example, said, model)];
  if (model.explains) made.push(why(example.body, example.type, model));
  return made;
}

/** Return a list of answers, each of which opens. */
function many(examples, said) {
  const line = (one, n) => {
    const answer = said[n];
    const thumb = model.kind === "image" ? el("img", { src: one.source, alt: "", loading: "lazy", decoding: "async" }) : null;
    if (thumb) thumb.onerror = () => thumb.replaceWith(el("span", { className: "thumb" }));
    const words = [el("span", { className: "name" }, one.name), el("b", {}, answers.inShort(answer, model))];
    if (answer.error) return el("li", {}, el("div", { className: "line" }, thumb, words, el("span", { className: "muted" }, answer.error)));
    const button = el("button", { type: "button", className: "line", "aria-expanded": "false" }, thumb, words);
    const inside = el("div", { className: "opened", hidden: true });
    button.onclick = () => {
      if (!inside.children.length) inside.append(...detail(one, answer));
      inside.hidden = !inside.hidden;
      button.setAttribute("aria-expanded", String(!inside.hidden));
    };
    return el("li", {}, button, inside);
  };
  const file = new Blob([answers.csv(examples, said, model)], { type: "text/csv" });
  sources.push(URL.createObjectURL(file));
  const rest = examples.length - SHOWN;
  return [
    el("p", {}, el("b", {}, answers.tally(said, model)), " ", el("a", { href: sources.at(-1), download: `${model.name}-answers.csv` }, "All answers as CSV")),
    el("ol", { className: `many ${model.kind}` }, examples.slice(0, SHOWN).map(line)),
    rest > 0 ? el("p", { className: "muted" }, `${rest.toLocaleString("en")} more are in the CSV.`) : null,
  ].filter(Boolean);
}

function choose(name) {
  clear();
  status("");
  model = models.find((one) => one.name === name) ?? models[0];
  $("model").value = model.name;
  show();
}

async function begin() {
  tokenOfAddress();
  status("Asking the server for its models…");
  const busy = () => status("The server is loading its models…");
  models = await ask("GET", "models", null, { tries: 60, busy });
  if (!models.length) throw new Problem("The server has no model.", "Start it with one: quickstudy serve MODEL.");
  $("model").replaceChildren(...models.map((one) => el("option", { value: one.name }, `${one.name} (${NOUNS[one.kind][1]})`)));
  $("choosing").hidden = models.length < 2;
  $("model").onchange = (event) => choose(event.target.value);
  choose(models[0].name);
}

$("camera").onclick = () => camera.open(give);
$("record").onclick = () => microphone.open(give, model.limits?.seconds);
$("stop").onclick = () => {
  running?.abort();
  status("Stopped.");
};
listen(give);
begin().catch(problem);
