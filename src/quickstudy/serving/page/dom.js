// Elements and words. Text from outside becomes text nodes only, never markup.

export const $ = (id) => document.getElementById(id);

/** Return an element; `given` are properties, or attributes where a name has a dash or is `role`. */
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== ""));
  return made;
}

export const BETWEEN = "\u00a0"; // a number and its unit never part

/** Return "97.3 %"; only 1 itself is "100 %" and only 0 is "0 %". */
export function percent(share) {
  if (share === 0 || share === 1) return `${100 * share}${BETWEEN}%`;
  if (share < 0.0005) return `< 0.1${BETWEEN}%`.replace(" ", BETWEEN);
  return `${Math.min(99.9, 100 * share).toFixed(1)}${BETWEEN}%`;
}

/** Return a number with at most six significant digits. */
export function figure(value) {
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

/** Return "0:07" or "1:02:03" of seconds. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Return "0:07 to 1:12"; of a recording of less than a minute "7.0 to 7.4 s". */
export function stretch(from, to, long) {
  if (long >= 60) return `${clock(from)} to ${clock(to)}`;
  return `${from.toFixed(1)} to ${to.toFixed(1)}${BETWEEN}s`;
}

/** Return "4.2 MB", in the units of the server. */
export function bytes(n) {
  const [kilo, mega] = [n / 2 ** 10, n / 2 ** 20];
  if (mega < 1) return `${Math.max(1, Math.round(kilo))}${BETWEEN}kB`;
  return `${mega.toFixed(mega < 10 ? 1 : 0)}${BETWEEN}MB`;
}

/** Return "1 picture" or "1,200 pictures". */
export function counted(n, [one, many]) {
  return `${n.toLocaleString("en")}${BETWEEN}${n === 1 ? one : many}`;
}

/** Return how often each comes, the commonest first: "cat 4, dog 1". */
export function piles(names, most = 8) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${n.toLocaleString("en")}`);
  return listed(sorted, most);
}

/** Return a list in words, the first `most` of it. */
export function listed(names, most = 12) {
  const more = names.length - most;
  const shown = names.slice(0, most).join(", ");
  return more > 0 ? `${shown} and ${more.toLocaleString("en")} more` : shown;
}

export const NOUNS = {
  image: ["picture", "pictures"],
  sound: ["recording", "recordings"],
  table: ["row", "rows"],
};
