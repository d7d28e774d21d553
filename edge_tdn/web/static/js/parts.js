// Parts that several views use.
import { ApiError } from "./api.js";
import { el, fillWith, setText } from "./dom.js";
import { on, store } from "./store.js";

const STATES = {
  streaming: ["good", "Streaming"],
  connecting: ["warn", "Connecting"],
  frozen: ["bad", "Frozen"],
  stalled: ["bad", "Stalled"],
  unauthorized: ["bad", "Login refused"],
  unreachable: ["bad", "Unreachable"],
  ended: ["off", "Ended"],
  disabled: ["off", "Off"],
};

/** Return the state of a camera as {form, word}: form is "good", "warn", "bad" or "off". */
export function cameraState(state) {
  const [form, word] = STATES[state] ?? ["warn", state];
  return { form, word };
}

/** Return a dot with a word; `form`: "good", "warn", "bad" or "off". */
export function stateMark(form, word) {
  return el("span", { class: `state ${form}` }, word);
}

/** Return a control that can be used only while the daemon answers: a fieldset, disabled while it does not. */
export function liveControls(signal, attributes, ...children) {
  const controls = el("fieldset", { ...attributes, disabled: store.connection === "gone" }, ...children);
  on(
    "connection",
    (connection) => {
      controls.disabled = connection === "gone";
    },
    signal,
  );
  return controls;
}

/** Return an area of the final size of what is loaded. */
export function skeleton(height) {
  const area = el("div", { class: "skeleton", "aria-hidden": "true" });
  area.style.height = height;
  return area;
}

/** Return what went wrong, with a button that tries again, if `again` is given. */
export function errorNote(error, again = null) {
  return el(
    "div",
    { class: "note bad row spread", role: "alert" },
    el("span", {}, textOf(error)),
    again && el("button", { type: "button", class: "button", onclick: again }, "Try again"),
  );
}

/** Return an error as a sentence for a person. An error of the page itself is raised again. */
export function textOf(error) {
  if (!(error instanceof ApiError)) throw error;
  return error.message;
}

/** True if a request was aborted since its view has been left. */
export function isAbort(error) {
  return error?.name === "AbortError";
}

/** Return an empty state: what is missing, and the next step. */
export function emptyNote(headline, ...next) {
  return el("div", { class: "empty" }, el("strong", {}, headline), ...next);
}

/** Return lines of a configuration with a button that copies them. `label`: what the lines are, for screen readers. */
export function linesToCopy(text, label = "Lines for the configuration") {
  const button = el("button", { type: "button", class: "button", onclick: copy }, "Copy");
  const pre = el("pre", { tabindex: "0", "aria-label": label }, el("code", {}, text));
  const announced = el("span", { class: "reader", role: "status" });

  async function copy() {
    const copied = await toClipboard(pre, text);
    setText(button, copied ? "Copied" : "Press Ctrl+C");
    setText(announced, copied ? "Copied" : "Selected. Press Ctrl+C to copy.");
    setTimeout(() => {
      setText(button, "Copy");
      setText(announced, "");
    }, 2500);
  }
  return el("div", { class: "lines" }, pre, button, announced);
}

async function toClipboard(pre, text) {
  try {
    await navigator.clipboard.writeText(text); // absent without https, except on the host itself
    return true;
  } catch {
    getSelection().selectAllChildren(pre);
    return document.execCommand("copy");
  }
}

/** Return pairs of a name and a value; a pair whose value is null or "" is left out. */
export function facts(pairs) {
  return fillWith(
    el("dl", { class: "facts" }),
    ...pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}
