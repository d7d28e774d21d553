// The state of a camera in words, and its switch; the Cameras and the Camera view show them alike.
import { path, post } from "./api.js";
import { el, fillWith } from "./dom.js";
import { cameraState, stateMark, textOf } from "./parts.js";
import { activeActions, cameraOf, emit } from "./store.js";
import { length } from "./time.js";

const ADVICE = {
  connecting: "The first picture can take a few seconds.",
  frozen: "The camera sends the same picture again and again. Restart the camera.",
  stalled: "The camera is connected, but sends no pictures. Check its load and the network.",
  unauthorized: "Check the user name and the password of its source in the configuration.",
  unreachable: "Check its power, its cable and the address of its source in the configuration.",
  ended: "Its video has ended. With loop = true it would begin again.",
  disabled: "It is switched off. Nothing is analysed.",
};

/** Return what can be done about a state; empty if the camera streams. */
export function adviceOf(state) {
  return ADVICE[state] ?? "";
}

/** Return the state of a camera as a dot and a word. */
export function stateOf(status) {
  const { form, word } = cameraState(status.state);
  return status.state === "streaming" && status.reason ? stateMark("warn", "With a fault") : stateMark(form, word);
}

/** Return one line of figures: `30 fps · score every 0.3 s · 21 ms`. */
export function figuresOf(camera) {
  const { status, zones } = camera;
  if (status.state !== "streaming") return "";
  const parts = [`${status.fps.toFixed(status.fps < 10 ? 1 : 0)} fps`];
  if (status.hop) {
    parts.push(`score every ${length(status.hop * (zones[0]?.segment_s ?? 0))}`, `${Math.round(status.latency_ms)} ms`);
  }
  return parts.join(" · ");
}

/** Fill a node with the actions that are active in a camera, each as a pill; "No action" if it streams without any. */
export function fillActions(node, name) {
  const streams = cameraOf(name)?.status.state === "streaming";
  const active = streams ? activeActions(name) : [];
  const key = JSON.stringify([streams, active]);
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  if (!active.length) fillWith(node, streams && el("span", { class: "pill none" }, "No action"));
  else
    fillWith(
      node,
      active.map(({ zone, action }) => el("span", { class: "pill" }, zone === null ? action : `${zone}: ${action}`)),
    );
}

/** Switch a camera on or off. Return why that failed; empty if it did not. */
export async function setEnabled(name, enabled) {
  try {
    await post(path("api", "camera", name, "enabled"), { enabled });
  } catch (error) {
    return textOf(error);
  }
  const camera = cameraOf(name); // the status follows within 2 s; the switch is shown at once
  if (camera) emit("camera", { ...camera.status, state: enabled ? "connecting" : "disabled", reason: "" });
  return "";
}
