// Cameras: a grid of live pictures, each with its action and state.
import { adviceOf, figuresOf, fillActions, setEnabled, stateOf } from "../camera_state.js";
import { el, fillWith, newId, setClass, setText } from "../dom.js";
import { liveControls } from "../parts.js";
import { livePicture } from "../picture.js";
import { link } from "../router.js";
import { cameraOf, on, store } from "../store.js";

const MAX_WIDTH = 640;
const FASTEST_S = 2;
const SLOWEST_S = 5;

export function show(view, route, signal) {
  const grid = el("ul", { class: "cameras" });
  const summary = el("p", { class: "muted small" });
  let cards = new Map();
  view.append(el("div", { class: "head close" }, el("h1", {}, "Cameras"), summary), grid);

  function build() {
    const names = store.state.cameras.map(({ name }) => name);
    if (names.join("\n") !== [...cards.keys()].join("\n")) {
      const seconds = Math.min(Math.max(names.length / 3, FASTEST_S), SLOWEST_S);
      cards = new Map(names.map((name) => [name, card(name, seconds, signal)]));
      fillWith(
        grid,
        [...cards.values()].map(({ node }) => node),
      );
    }
    for (const { refresh } of cards.values()) refresh();
    summarise();
  }

  function summarise() {
    const { cameras } = store.state;
    const streaming = cameras.filter(({ status }) => status.state === "streaming").length;
    setText(
      summary,
      streaming === cameras.length ? `${cameras.length} streaming` : `${streaming} of ${cameras.length} streaming`,
    );
  }

  build();
  on("state", build, signal);
  on(
    "camera",
    ({ camera }) => {
      cards.get(camera)?.refresh();
      summarise();
    },
    signal,
  );
  on("action", ({ camera }) => cards.get(camera)?.refreshActions(), signal);
  on("scores", ({ camera }) => cards.get(camera)?.refreshActions(), signal);
}

function card(name, seconds, signal) {
  const id = newId("camera");
  const box = el("div", { class: "picture-box" }, livePicture(name, { seconds, maxWidth: MAX_WIDTH, signal }));
  const over = el("div", { class: "over" });
  const state = el("div", { class: "row" });
  const figures = el("p", { class: "muted small figures" });
  const actions = el("div", { class: "actions" });
  const node = el(
    "li",
    { class: "card camera-card", "aria-labelledby": id },
    box,
    el(
      "div",
      { class: "body" },
      el("div", { class: "row spread" }, el("h2", { id }, el("a", { href: link("camera", [name]) }, name)), state),
      actions,
      figures,
    ),
  );
  box.append(over);
  let shown = null;

  function refresh() {
    const camera = cameraOf(name);
    if (!camera) return;
    const { status } = camera;
    fillWith(state, stateOf(status));
    setText(figures, figuresOf(camera));
    const now = JSON.stringify([status.state, status.reason]);
    setClass(box, "stale", status.state !== "streaming");
    if (now !== shown) fillWith(over, status.state !== "streaming" && trouble(name, status, signal));
    shown = now;
    refreshActions();
  }

  function refreshActions() {
    fillActions(actions, name);
  }
  return { node, refresh, refreshActions };
}

function trouble(name, status, signal) {
  if (status.state !== "disabled") {
    return [status.reason && el("p", {}, status.reason), el("p", { class: "small" }, adviceOf(status.state))];
  }
  const failed = el("p", { class: "small", role: "alert" });
  const button = el(
    "button",
    { type: "button", class: "button", onclick: switchOn, "aria-label": `Switch ${name} on` },
    "Switch on",
  );
  async function switchOn() {
    button.disabled = true;
    setText(failed, await setEnabled(name, true));
    button.disabled = false;
  }
  return [el("p", { class: "small" }, adviceOf("disabled")), liveControls(signal, {}, button), failed];
}
