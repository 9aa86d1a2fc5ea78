// Rows: a form made of a model's columns, or a CSV file.

import { $, counted, el, listed, NOUNS } from "./dom.js";
import { Problem } from "./talk.js";

const MOST_CHOICES = 24; // words to choose among; of more one types, with suggestions
const HEADER = 65_536; // characters that hold the first line
const DELIMITERS = [",", ";", "\t", "|"];

/** Return the form's field for a column. */
function field(column, n) {
  const id = `column-${n}`;
  const common = { id, name: column.name };
  const label = el("label", { for: id }, column.name);
  const words = column.words ?? [];
  if (column.type === "category" && words.length <= MOST_CHOICES) {
    const options = [el("option", { value: "" }, "missing"), ...words.map((word) => el("option", { value: word }, word))];
    return el("p", {}, label, el("select", common, options));
  }
  if (column.type === "category") {
    const list = el("datalist", { id: `${id}-words` }, words.map((word) => el("option", { value: word })));
    return el("p", {}, label, el("input", { ...common, autocomplete: "off" }), list);
  }
  const types = {
    number: { type: "number", step: "any", inputMode: "decimal" },
    date: { type: column.hours ? "datetime-local" : "date" },
  };
  return el("p", {}, label, el("input", { ...common, ...types[column.type] }));
}

/** Make the form; `give` is called with one row. */
export function form(columns, give) {
  const used = columns.filter((column) => column.type !== "left out");
  const made = $("row");
  made.replaceChildren(
    el("p", { className: "muted" }, "Or fill in a row. What is left empty counts as missing."),
    el("div", { className: "fields" }, used.map(field)),
    el("div", { className: "buttons" },
      el("button", { type: "submit", className: "first" }, "Ask"),
      el("button", { type: "reset" }, "Empty all"),
    ),
  );
  for (const list of made.querySelectorAll("datalist")) list.previousSibling.setAttribute("list", list.id);
  made.onsubmit = (event) => {
    event.preventDefault();
    const row = {};
    for (const column of used) {
      const text = made.elements.namedItem(column.name).value;
      row[column.name] = text === "" ? null : column.type === "number" ? Number(text) : text;
    }
    give([row], "row");
  };
  made.hidden = false;
}

/** Return the cells of CSV text, line by line, as Python's csv reads them. */
export function cells(text, delimiter) {
  const rows = [];
  let [row, cell, quoted, fresh] = [[], "", false, true];
  const end = () => {
    row.push(cell);
    [cell, fresh] = ["", true];
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (c === '"' && fresh) [quoted, fresh] = [true, false];
    else if (c === delimiter) end();
    else if (c === "\n" || c === "\r") {
      if (c === "\r" && text[i + 1] === "\n") i++;
      if (row.length || cell !== "" || !fresh) {
        end();
        rows.push(row);
      }
      row = [];
    } else if (!(c === " " && fresh)) {
      cell += c;
      fresh = false;
    }
  }
  if (row.length || cell !== "") {
    end();
    rows.push(row);
  }
  return rows;
}

/** Return the rows of a CSV file, as mappings of the model's columns; raises `Problem`. */
export async function rowsOf(file, columns) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Problem(`${file.name} is no text in UTF-8.`, "Save the table as CSV (UTF-8).");
  }
  const start = text.slice(0, HEADER);
  const widths = DELIMITERS.map((one) => (cells(start, one)[0] ?? []).length);
  const delimiter = DELIMITERS[widths.indexOf(Math.max(...widths))];
  const [header, ...rows] = cells(text, delimiter);
  const names = (header ?? []).map((name) => name.trim());
  const used = columns.filter((column) => column.type !== "left out").map((column) => column.name);
  const lacking = used.filter((name) => !names.includes(name));
  if (lacking.length)
    throw new Problem(`${file.name} lacks ${lacking.length === 1 ? "a column" : "columns"}: ${listed(lacking, 5)}.`, `The model learnt from ${counted(used.length, ["column", "columns"])}: ${listed(used, 8)}.`);
  if (!rows.length) throw new Problem(`${file.name} has no ${NOUNS.table[1]}.`, "Its first line names the columns; each line after it is a row.");
  const places = used.map((name) => [name, names.indexOf(name)]);
  return rows.map((row) => Object.fromEntries(places.map(([name, at]) => [name, row[at] || null])));
}
