// A recording from the microphone as a WAV: a browser's own recorder writes what libsndfile does
// not read (WebM, MP4).

import { $, clock } from "./dom.js";

/** Whether this browser lends its microphone to this page. */
export const lent = () => Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);

const REASONS = {
  NotAllowedError: "The browser was told not to lend the microphone. Allow it beside the address, and try again.",
  NotFoundError: "This computer has no microphone.",
  NotReadableError: "Another program is using the microphone.",
};
// As it sounds: what makes speech clearer in a call changes what a model listens to.
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const MOST_SECONDS = 600;

/** Return samples, -1 to 1, as a WAV file of 16 bits. */
export function wav(chunks, rate) {
  const n = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * n));
  const word = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * n, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * n, true);
  let at = 44;
  for (const chunk of chunks)
    for (const x of chunk) {
      view.setInt16(at, Math.round(32767 * Math.min(1, Math.max(-1, x))), true);
      at += 2;
    }
  return new File([view.buffer], "recording.wav", { type: "audio/wav" });
}

/** Open the dialog and record; `give` is called with the WAV once it was stopped. */
export function open(give, limit) {
  const dialog = $("record-dialog");
  const most = Math.min(limit || MOST_SECONDS, MOST_SECONDS);
  const chunks = [];
  let [length, context, stream, keep, loudest, drawing] = [0, null, null, false, 0, 0];

  const show = (seconds) => ($("heard").textContent = `${clock(seconds)} of at most ${clock(most)}`);
  const draw = () => {
    $("level").value = Math.max(loudest, 0.9 * $("level").value);
    show(length / context.sampleRate);
    [loudest, drawing] = [0, 0];
  };
  const done = () => {
    keep = length > 0;
    dialog.close();
  };
  dialog.onclose = () => {
    const rate = context?.sampleRate;
    stream?.getTracks().forEach((track) => track.stop());
    context?.close();
    cancelAnimationFrame(drawing);
    $("level").value = 0;
    if (keep) give([wav(chunks, rate)]);
  };
  $("record-done").onclick = done;
  $("record-close").onclick = () => dialog.close();
  $("record-done").disabled = true;
  $("record-said").textContent = "Waiting for the microphone…";
  show(0);
  dialog.showModal();

  const take = (chunk) => {
    if (!dialog.open) return;
    if (!length) {
      $("record-said").textContent = "Recording.";
      $("record-done").disabled = false;
      $("record-done").focus();
    }
    chunks.push(chunk);
    length += chunk.length;
    loudest = chunk.reduce((most, x) => Math.max(most, Math.abs(x)), loudest);
    drawing ||= requestAnimationFrame(draw);
    if (length >= most * context.sampleRate) done();
  };
  begin(take).then(
    (got) => {
      [context, stream] = [got.context, got.stream];
      if (!dialog.open) dialog.onclose();
    },
    (problem) => {
      $("record-said").textContent = REASONS[problem.name] ?? `The microphone gives no sound: ${problem.message}`;
    },
  );
}

async function begin(take) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const waiting = []; // until the caller has the context
  node.port.onmessage = (event) => waiting.push(event.data);
  context.createMediaStreamSource(stream).connect(node);
  await context.resume();
  setTimeout(() => {
    waiting.forEach(take);
    node.port.onmessage = (event) => take(event.data);
  });
  return { context, stream };
}
