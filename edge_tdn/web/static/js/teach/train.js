// Train: start and watch a training where the trainer is installed; elsewhere the commands and the clips to carry.
import { post } from "../api.js";
import { el, fillWith, setClass, setText } from "../dom.js";
import { linesToCopy, liveControls, stateMark, textOf } from "../parts.js";
import { on } from "../store.js";
import { length, timeOf } from "../time.js";
import { attempt, field, numbered, progressBar } from "./parts.js";

const MARKS = {
  running: ["warn", "Training"],
  done: ["good", "Done"],
  failed: ["bad", "Failed"],
  stopped: ["off", "Stopped"],
};

/** Return the section: {node, show(overview)}. `changed()`: called when there is another model. */
export function trainSection(signal, changed) {
  let state = null;
  let here = true; // the trainer is on this host
  let suggested = "";
  const mark = el("span", { class: "step-mark" });
  const id = el("input", {
    type: "text",
    required: true,
    maxlength: "64",
    pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*",
    autocomplete: "off",
    spellcheck: "false",
  });
  const start = el("button", { type: "submit", class: "button first" }, "Start training");
  const why = el("p", { class: "muted small" });
  const error = attempt(textOf);
  const form = el(
    "form",
    { class: "stack", onsubmit: begin },
    field("Name of the model", id, "Letters, digits, dots, dashes and underlines."),
    el("div", { class: "row" }, start, why),
  );
  const bar = progressBar("This step of the training");
  const step = el("p", { class: "doing" });
  const text = el("p", { class: "muted small" });
  const stop = el("button", { type: "button", class: "button", onclick: end }, "Stop");
  const since = el("span", { class: "muted small" });
  const running = el("div", { class: "stack" }, step, bar.node, text, el("div", { class: "row" }, stop, since));
  const outcome = el("p", { class: "note", role: "status", hidden: true });
  const lines = el("pre", { class: "log", tabindex: "0", "aria-label": "Log of the training" });
  const log = el("details", { hidden: true }, el("summary", {}, "Log of the training"), lines);
  const elsewhere = el("div", { class: "stack", hidden: true });
  const controls = liveControls(signal, {}, form);
  const node = numbered(3, "Train", mark, controls, running, outcome, error.node, log, elsewhere);

  async function begin(event) {
    event.preventDefault();
    await error.run(async () => {
      draw(await post("/api/finetune", { id: id.value.trim() }, signal));
      stop.focus();
    });
  }

  async function end() {
    await error.run(async () => draw(await post("/api/finetune/stop", {}, signal)));
  }

  function draw(now) {
    const before = state;
    state = now;
    const active = now.state === "running";
    controls.hidden = active || !here;
    running.hidden = !active;
    const [form_, word] = MARKS[now.state] ?? [];
    fillWith(mark, form_ && stateMark(form_, word));
    if (active) drawActive(now);
    const failed = now.state === "failed";
    setText(outcome, outcomeText(now));
    setClass(outcome, "bad", failed);
    outcome.hidden = !outcome.textContent;
    log.hidden = !now.log.length;
    if (failed && before?.state === "running") log.open = true;
    drawLog(now.log.join("\n"));
    if (before && before.state !== now.state) changed();
    if (before?.state === "running" && !active && document.activeElement === document.body) start.focus();
  }

  function drawActive(now) {
    setText(step, now.of ? `Step ${now.step} of ${now.of}: ${now.text}` : now.text || "Starting");
    const share = now.total ? now.done / now.total : null;
    bar.set(share, now.text);
    const left = now.left_s === null ? "" : `about ${length(Math.max(1, now.left_s))} of this step left`;
    const done = now.total ? `${Math.floor(now.done)} of ${Math.floor(now.total)}` : "";
    setText(text, [done, left].filter(Boolean).join(" · ") || "Working");
    const sinceText = `${now.id}, since `;
    if (now.since && since.dataset.of !== now.since) {
      since.dataset.of = now.since;
      fillWith(since, sinceText, timeOf(now.since));
    }
  }

  function drawLog(now) {
    if (lines.textContent === now) return;
    const atEnd = lines.scrollTop + lines.clientHeight > lines.scrollHeight - 8;
    setText(lines, now);
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  }

  on("finetune", draw, signal);
  return {
    node,
    show({ trainer, command, classes, missing, models, finetune }) {
      here = trainer;
      draw(finetune);
      const blocked = missing.filter(({ code }) => code.startsWith("no_"));
      start.disabled = blocked.length > 0;
      setText(why, blocked.length ? "First record an action and the background." : timeHint(missing));
      suggest(nameOf(classes, models, finetune));
      if (!trainer && !elsewhere.children.length) fillWith(elsewhere, byHand(command));
      elsewhere.hidden = trainer;
    },
  };

  function suggest(name) {
    if (id.value !== suggested || document.activeElement === id) return;
    id.value = name;
    suggested = name;
  }
}

/** Return a name for the next model: that of a training that was stopped, or one made of the actions. */
function nameOf(classes, models, finetune) {
  const taken = new Set(models.map(({ id }) => id));
  if (["stopped", "failed"].includes(finetune.state) && finetune.id && !taken.has(finetune.id)) return finetune.id;
  const actions = classes.filter(({ background }) => !background).map(({ label }) => label);
  const text = actions.slice(0, 2).join("-").normalize("NFKD").toLowerCase();
  const base =
    text
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 40) || "my-model";
  if (!taken.has(base)) return base;
  let number = 2;
  while (taken.has(`${base}-${number}`)) number += 1;
  return `${base}-${number}`;
}

function timeHint(missing) {
  return missing.length ? "It can be trained; what is listed at Clips makes it better." : "";
}

function outcomeText({ state, id, text }) {
  if (state === "done") return `${id} is trained. Try it below.`;
  if (state === "failed") return `${id}: ${text}`;
  return state === "stopped" ? `${id} was stopped. Started with the same name, it continues.` : "";
}

function byHand(command) {
  return [
    el(
      "p",
      { class: "small" },
      "The trainer is not installed on this host. Train on a computer that has it, and copy the model back; it then " +
        "appears below.",
    ),
    linesToCopy(command, "Commands that train elsewhere"),
    el("p", { class: "muted small" }, "Instead of the first line, the clips can be downloaded at Clips."),
  ];
}
