// Everything that is said to the server, and what it says when it cannot answer.

import { $ } from "./dom.js";

const KEPT = "quickstudy-token";
const MOST_WAIT = 30; // seconds that a busy server may ask for

/** What went wrong, in the server's words where it has some. */
export class Problem extends Error {
  constructor(message, hint = "", status = 0) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

/** Keep a token that came behind the "#" of the address, which no server is sent. */
export function tokenOfAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!found) return;
  sessionStorage.setItem(KEPT, found);
  history.replaceState(null, "", location.pathname + location.search);
}

/** Ask for the token; resolves once one was given. */
function askToken() {
  const dialog = $("token-dialog");
  if (sessionStorage.getItem(KEPT)) $("token-why").textContent = "The server does not take this token.";
  sessionStorage.removeItem(KEPT);
  $("token").value = "";
  dialog.oncancel = (event) => event.preventDefault();
  if (!dialog.open) dialog.showModal();
  return new Promise((done) => {
    dialog.onclose = () => {
      sessionStorage.setItem(KEPT, $("token").value.trim());
      done();
    };
  });
}

/** Send once; resolves with status, headers and text whatever the server says. */
function send(method, address, body, { type, sent, signal } = {}) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest(); // fetch tells no progress of what it sends
    request.open(method, address);
    request.setRequestHeader("Accept", "application/json");
    if (type) request.setRequestHeader("Content-Type", type);
    const token = sessionStorage.getItem(KEPT);
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    if (sent) request.upload.onprogress = (event) => sent(event.loaded, event.total);
    const stop = () => request.abort();
    signal?.addEventListener("abort", stop);
    request.onload = () => done(request);
    request.onerror = () =>
      failed(new Problem("The server does not answer.", "Is it still running, and is this computer still connected to it?"));
    request.onabort = () => failed(new DOMException("stopped", "AbortError"));
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    request.send(body ?? null);
  });
}

function pause(seconds, signal) {
  return new Promise((done, failed) => {
    const timer = setTimeout(done, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(new DOMException("stopped", "AbortError"));
    });
  });
}

/**
 * Return what the server answers as data; raises `Problem`. Where it is busy it is asked again when
 * it says, once or `how.tries` times; `how.busy` hears in how many seconds.
 */
export async function ask(method, address, body, how = {}) {
  let tries = how.tries ?? 1;
  for (;;) {
    how.signal?.throwIfAborted();
    const reply = await send(method, address, body, how);
    if (reply.status === 401) {
      await askToken();
      continue;
    }
    if (reply.status === 503 && tries-- > 0) {
      const asked = Number(reply.getResponseHeader("Retry-After"));
      const seconds = Math.min(MOST_WAIT, asked > 0 ? asked : 1);
      how.busy?.(seconds);
      await pause(seconds, how.signal);
      continue;
    }
    return answerOf(reply);
  }
}

function answerOf(reply) {
  let found = null;
  try {
    found = JSON.parse(reply.responseText);
  } catch {
    if (reply.status < 400) throw new Problem("The server answered with something that is no answer.", "Is this address the server's own?");
  }
  if (reply.status < 400 || found?.predictions) return found; // a file that cannot be read is 422
  const usual = {
    413: ["That is larger than the server takes.", "Give a smaller file, or fewer at once."],
    503: ["The server is busy.", "Try again in a moment."],
  }[reply.status] ?? [`The server failed (${reply.status}).`, "Try again; what it said is in its log."];
  const said = typeof found?.error === "string" ? found.error : usual[0];
  throw new Problem(said, typeof found?.hint === "string" ? found.hint : found?.error ? "" : usual[1], reply.status);
}
