// Files as they are given: dropped anywhere, pasted, or chosen.

import { $ } from "./dom.js";

/** Return the files of a drop, those in folders as well. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      if (!entry.name.startsWith(".")) found.push(await new Promise((...ends) => entry.file(...ends)));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((...ends) => reader.readEntries(...ends)); // 100 at a time
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

/** Call `give` with the files of every drop, paste and choice. */
export function listen(give) {
  let depth = 0; // of elements that are dragged over
  const over = (shown) => document.body.classList.toggle("over", shown);
  const files = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (files(event)) over(++depth > 0);
  });
  addEventListener("dragleave", (event) => {
    if (files(event)) over((depth = Math.max(0, depth - 1)) > 0);
  });
  addEventListener("dragover", (event) => {
    if (files(event)) event.preventDefault();
  });
  addEventListener("drop", async (event) => {
    if (!files(event)) return;
    event.preventDefault();
    over(Boolean((depth = 0)));
    give(await dropped(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const given = [...(event.clipboardData?.files ?? [])];
    if (!given.length) return;
    event.preventDefault();
    give(given);
  });
  for (const [button, input] of [["choose", "file"], ["photo", "capture"]]) {
    $(button).addEventListener("click", () => $(input).click());
    $(input).addEventListener("change", (event) => {
      const given = [...event.target.files];
      event.target.value = ""; // the same file may be chosen again
      if (given.length) give(given);
    });
  }
}
