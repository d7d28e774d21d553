// Record: clips from the camera's own frames, with a countdown over the live picture.
import { path, post } from "../api.js";
import { el, fillWith, setClass, setText } from "../dom.js";
import { liveControls, stateMark, textOf } from "../parts.js";
import { livePicture } from "../picture.js";
import { cameraOf, on } from "../store.js";
import { length } from "../time.js";
import { attempt, count, field, numbered, placeChoice, progressBar } from "./parts.js";
import { isTrying } from "./trial_panel.js";

const BACKGROUND = "background";
const ACTION = { count: 10, seconds: 3, pause: 3 };
const NOTHING = { count: 6, seconds: 10, pause: 0 };
const PICTURE_S = 0.5;
const MAX_WIDTH = 960;
const HINTS = {
  action: "Perform the action for the whole clip: all of it is learned as the action.",
  background: "Everything that must not be reported: the empty scene, people who pass, whatever resembles the action.",
};

/** Return the section: {node, show(overview)}. `changed()`: called when there are further clips. */
export function recordSection(overview, signal, changed) {
  let state = overview.record;
  let kind = "action";
  let followed = ""; // the trial under way, as text
  let leave = new AbortController();
  const mark = el("span", { class: "step-mark" });
  const picture = el("div", { class: "picture-box" });
  const digits = el("strong", {});
  const below = el("span", {});
  const over = el("div", { class: "countdown", hidden: true, "aria-hidden": "true" }, digits, below);
  const announced = el("p", { class: "reader", role: "status", "aria-live": "assertive" });
  const bar = progressBar("This clip");
  const doing = el("p", { class: "doing" });
  const place = placeChoice(showPicture);
  const label = textInput("door open");
  const known = el("datalist", { id: "taught-labels" });
  label.setAttribute("list", known.id);
  const numbers = { count: number(1, 100, 1), seconds: number(0.5, 600, 0.5), pause: number(0, 60, 1) };
  const takes = el("p", { class: "muted small", role: "status" });
  const hint = el("p", { class: "muted small" }, HINTS.action);
  const error = attempt(textOf);
  const labelField = field("Name of the action", label);
  const start = el("button", { type: "submit", class: "button first" }, "Start recording");
  const settings = el(
    "fieldset",
    { class: "stack" },
    el("div", { class: "fields" }, place.nodes, kinds()),
    labelField,
    known,
    hint,
    el(
      "div",
      { class: "fields three" },
      field("Number of clips", numbers.count),
      field("Seconds each", numbers.seconds),
      field("Pause before each", numbers.pause),
    ),
  );
  const stop = el("button", { type: "button", class: "button", onclick: end }, "Stop");
  const idle = el("div", { class: "row" }, start, takes);
  const running = el(
    "div",
    { class: "stack", hidden: true },
    el("div", { class: "row spread" }, doing, stop),
    bar.node,
  );
  const form = el(
    "form",
    { class: "stack", onsubmit: begin },
    settings,
    picture,
    el("div", { class: "shutter" }, idle, running),
  );
  const failed = el("p", { class: "note bad", role: "alert", hidden: true });
  const node = numbered(1, "Record", mark, liveControls(signal, {}, form), announced, failed, error.node);

  function textInput(example) {
    return el("input", {
      type: "text",
      maxlength: "100",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: example,
    });
  }

  function number(min, max, step) {
    return el("input", { type: "number", min, max, step, required: true, oninput: showLength });
  }

  function kinds() {
    const pick = (value, text) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name: "kind", value, checked: value === kind, onchange: () => choose(value) }),
        el("span", {}, text),
      );
    return el(
      "fieldset",
      { class: "choice" },
      el("legend", {}, "What the camera will see"),
      pick("action", "An action"),
      pick("background", "Background"),
    );
  }

  function choose(value) {
    kind = value;
    labelField.hidden = kind === "background";
    label.required = kind === "action";
    setText(hint, HINTS[kind]);
    const preset = kind === "action" ? ACTION : NOTHING;
    for (const [name, input] of Object.entries(numbers)) input.value = preset[name];
    showLength();
  }

  function showLength() {
    const [clips, seconds, pause] = Object.values(numbers).map((input) => Number(input.value));
    setText(takes, clips && seconds ? `Takes ${length(clips * (seconds + pause))}.` : "");
  }

  function showPicture() {
    leave.abort();
    leave = new AbortController();
    const both = AbortSignal.any([signal, leave.signal]);
    fillWith(
      picture,
      livePicture(place.camera, { seconds: PICTURE_S, maxWidth: MAX_WIDTH, signal: both }),
      el("div", { class: "over small" }),
      over,
    );
    showTrouble();
  }

  function showTrouble() {
    const status = cameraOf(place.camera)?.status;
    const streams = status?.state === "streaming";
    setClass(picture, "stale", !streams);
    setText(picture.querySelector(".over.small"), streams ? "" : status?.reason || "The camera sends no picture.");
  }

  /** Show the camera of a trial that has begun, since one performs the action in front of that. */
  function follow(trial) {
    const key = isTrying(trial) ? JSON.stringify([trial.model, trial.camera, trial.zone]) : "";
    if (key && key !== followed && !isActive(state) && trial.camera !== place.camera) {
      place.choose(trial.camera, trial.zone);
      showPicture();
    }
    followed = key;
  }

  async function begin(event) {
    event.preventDefault();
    const [clips, seconds, pause] = Object.values(numbers).map((input) => Number(input.value));
    const name = kind === "background" ? BACKGROUND : label.value.trim();
    await error.run(async () => {
      const body = { label: name, zone: place.zone, count: clips, seconds, pause };
      draw(await post(path("api", "camera", place.camera, "record"), body, signal));
      picture.scrollIntoView({ block: "nearest" });
      stop.focus({ preventScroll: true });
    });
  }

  async function end() {
    await error.run(async () => draw(await post("/api/record/stop", {}, signal)));
  }

  function draw(now) {
    const before = state;
    state = now;
    const active = isActive(now);
    if (active && (now.camera !== place.camera || now.zone !== place.zone)) {
      place.choose(now.camera, now.zone);
      showPicture();
    }
    settings.disabled = active;
    idle.hidden = active;
    running.hidden = !active;
    over.hidden = !active;
    setClass(over, "on", now.state === "recording");
    fillWith(mark, active && stateMark("bad", now.state === "ready" ? "Get ready" : "Recording"));
    if (active) drawActive(now);
    if (isActive(before) && !active) setText(takes, doneText(now));
    showFailure(now);
    announce(before, now);
    if (now.made !== before.made || (isActive(before) && !active)) changed();
    if (isActive(before) && !active && [stop, document.body].includes(document.activeElement)) start.focus();
  }

  function drawActive({ state: phase, left_s: left, number: at, count: clips, share, label: name }) {
    const seconds = Math.max(1, Math.ceil(left));
    setText(digits, seconds);
    setText(below, phase === "ready" ? "get ready" : "recording");
    setText(doing, `${name}: clip ${at} of ${clips}`);
    bar.set(phase === "recording" ? share : 0, phase === "ready" ? `begins in ${seconds} s` : `${seconds} s left`);
  }

  function showFailure({ state: phase, text, made }) {
    const kept = made ? ` ${count(made, "clip")} kept.` : "";
    setText(failed, phase === "failed" ? text + kept : "");
    failed.hidden = phase !== "failed";
  }

  function announce(before, now) {
    if (now.state === "ready" && now.left_s <= 3.05) setText(announced, Math.max(1, Math.ceil(now.left_s)));
    else if (now.state === "recording" && (before.state !== "recording" || before.number !== now.number)) {
      setText(announced, `Recording clip ${now.number}`);
    } else if (!isActive(now)) setText(announced, "");
  }

  choose(kind);
  showPicture();
  on("record", draw, signal);
  on("trial", follow, signal);
  on("camera", ({ camera }) => camera === place.camera && showTrouble(), signal);
  on(
    "state",
    () => {
      const before = place.camera;
      place.refresh();
      if (place.camera !== before) showPicture();
    },
    signal,
  );
  return {
    node,
    show({ classes, record, trial }) {
      draw(record);
      follow(trial);
      fillWith(
        known,
        classes.filter((one) => !one.background).map((one) => el("option", { value: one.label })),
      );
      if (!label.value && document.activeElement !== label) {
        const actions = classes.filter((one) => !one.background).map((one) => one.label);
        label.value = actions.includes(record.label) ? record.label : (actions[0] ?? "");
      }
    },
  };
}

function isActive({ state }) {
  return state === "ready" || state === "recording";
}

function doneText({ state, made, label }) {
  return state === "done" && made ? `${count(made, "clip")} of ${label} recorded.` : "";
}
