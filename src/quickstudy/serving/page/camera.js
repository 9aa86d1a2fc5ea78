// A picture from the camera: a live view in a dialog, and a button.

import { $, el } from "./dom.js";

const WANTED = { width: { ideal: 1920 }, height: { ideal: 1080 } };
const QUALITY = 0.95; // of the JPEG: what cameras themselves write

/** Whether this browser lends its camera to this page: over https or on this computer only. */
export const lent = () => Boolean(navigator.mediaDevices?.getUserMedia);

const REASONS = {
  NotAllowedError: "The browser was told not to lend the camera. Allow it beside the address, and try again.",
  NotFoundError: "This computer has no camera.",
  NotReadableError: "Another program is using the camera.",
};

let stream = null;

function off() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("preview").srcObject = null;
}

async function on(device) {
  off();
  $("snap").disabled = true;
  $("camera-said").textContent = "Waiting for the camera…";
  const which = device ? { deviceId: { exact: device } } : { facingMode: "environment" };
  try {
    const got = await navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...which } });
    if (!$("camera-dialog").open) return got.getTracks().forEach((track) => track.stop());
    stream = got;
    $("preview").srcObject = got;
    await $("preview").play();
  } catch (problem) {
    $("camera-said").textContent = REASONS[problem.name] ?? `The camera gives no picture: ${problem.message}`;
    return;
  }
  $("camera-said").textContent = "";
  $("snap").disabled = false;
  $("snap").focus();
  await choices();
}

/** Offer the other cameras, where there are some. */
async function choices() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
  const using = stream?.getVideoTracks()[0]?.getSettings().deviceId;
  $("which").hidden = found.length < 2;
  $("camera-name").replaceChildren(
    ...found.map((one, n) =>
      el("option", { value: one.deviceId, selected: one.deviceId === using }, one.label || `Camera ${n + 1}`),
    ),
  );
}

/** Return what the camera sees as a JPEG file. */
async function snapshot() {
  const video = $("preview");
  const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  return new File([blob], "camera.jpg", { type: "image/jpeg" });
}

/** Open the dialog; `give` is called with a picture once one was taken. */
export function open(give) {
  const dialog = $("camera-dialog");
  dialog.onclose = off;
  $("camera-close").onclick = () => dialog.close();
  $("camera-name").onchange = (event) => on(event.target.value);
  $("snap").onclick = async () => {
    const file = await snapshot();
    dialog.close();
    give([file]);
  };
  dialog.showModal();
  on("");
}
