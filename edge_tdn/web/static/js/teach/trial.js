// Use: the models that were trained here, one tried live beside the one that serves, and taken over.
import { post } from "../api.js";
import { confusionTable } from "../confusion.js";
import { el, fillWith, setText } from "../dom.js";
import { emptyNote, linesToCopy, liveControls, stateMark, textOf } from "../parts.js";
import { on, store } from "../store.js";
import { timeOf } from "../time.js";
import { ask, attempt, count, numbered, placeChoice } from "./parts.js";
import { isTrying, trialPanel } from "./trial_panel.js";

const CONFIG_WAIT_MS = 60_000; // for the configuration to be read again

/** Return the section: {node, show(overview)}. `changed()`: called when what serves has changed. */
export function trialSection(overview, signal, changed) {
  let how = overview.take_over;
  let drawn = ""; // the models that are shown
  let pending = null; // {model, since}: a take-over whose reload is awaited
  const mark = el("span", { class: "step-mark" });
  const place = placeChoice(() => {});
  const where = el("div", { class: "fields" }, place.nodes);
  const list = el("div", { class: "models" });
  const error = attempt(textOf);
  const outcome = el("div", { role: "status" });
  const panel = trialPanel(signal, (state) => {
    fillWith(mark, isTrying(state) && stateMark("warn", "Trying"));
  });
  const controls = liveControls(signal, { class: "stack" }, where, list);
  // the panel opens and grows below everything, so that nothing moves
  const node = numbered(4, "Try and use", mark, outcome, error.node, controls, panel.node);

  function show({ models, trial, take_over: now }) {
    how = now;
    panel.draw(trial);
    const key = JSON.stringify(models);
    if (key === drawn) return;
    drawn = key;
    where.hidden = !models.length;
    const open = new Set([...list.querySelectorAll("details[open]")].map((one) => one.dataset.model));
    if (!models.length) {
      fillWith(
        list,
        emptyNote("No model yet.", el("p", {}, "A model that was trained here can be tried on a camera first.")),
      );
    } else {
      fillWith(
        list,
        models.map((model, at) => modelCard(model, open.has(model.id) || (at === 0 && !open.size))),
      );
    }
  }

  function modelCard(model, open) {
    const details = model.evaluated > 0 || model.notes.length > 0;
    return el(
      "article",
      { class: "model-card" },
      el(
        "div",
        { class: "row spread" },
        el(
          "div",
          { class: "model-name" },
          el("h3", {}, model.id),
          el("p", { class: "muted small" }, timeOf(model.at), ` · ${actionsOf(model).join(", ") || "no action"}`),
        ),
        el("p", { class: "top1" }, headline(model)),
      ),
      tags(model),
      details && resultOf(model, open),
      el(
        "div",
        { class: "row" },
        button("Try for ten minutes", () => begin(model), `Try ${model.id} for ten minutes`),
        !(model.current && model.serving) && button("Take over", () => takeOver(model), `Take over ${model.id}`),
      ),
    );
  }

  function button(text, onclick, label) {
    return el("button", { type: "button", class: "button", onclick, "aria-label": label }, text);
  }

  async function begin(model) {
    await error.run(async () => {
      const body = { model: model.id, camera: place.camera, zone: place.zone };
      panel.draw(await post("/api/trial", body, signal));
      panel.node.scrollIntoView({ block: "nearest" });
      panel.focus();
    });
  }

  async function takeOver(model) {
    const gone = vanishing(model);
    const question = el(
      "div",
      { class: "stack" },
      [
        el("p", {}, `${model.id} recognises: ${actionsOf(model).join(", ")}.`),
        gone.length > 0 && el("p", { class: "note warn" }, `No longer recognised: ${gone.join(", ")}.`),
        !how.configured &&
          el(
            "p",
            { class: "muted small" },
            "The configuration does not name this model yet. The lines for it are shown next.",
          ),
      ].filter(Boolean),
    );
    if (!(await ask(`Use ${model.id} from now on?`, [question], "Take over"))) return;
    await error.run(async () => {
      const since = store.state.host.config?.since ?? "";
      how = await post("/api/takeover", { model: model.id }, signal);
      pending = how.configured ? { model: model.id, since, until: Date.now() + CONFIG_WAIT_MS } : null;
      if (pending) say("note", `${model.id}: the daemon opens it and reads the configuration again.`);
      else fillWith(outcome, linesOnce(how, model.id));
      changed();
    });
  }

  /** Say how the reload ended, once the daemon has. */
  function follow() {
    const config = store.state?.host.config;
    if (!pending || !config) return;
    if (config.state === "refused") say("note bad", `Not taken over: ${config.reason}. The model before still serves.`);
    else if (config.state === "in_force" && config.since !== pending.since) say("note", `${pending.model} serves now.`);
    else if (Date.now() < pending.until) return;
    pending = null;
    changed();
  }

  function say(kind, text) {
    fillWith(outcome, el("p", { class: kind }, text));
  }

  on("host", follow, signal);
  on("state", () => (place.refresh(), follow()), signal);
  on("trial", panel.draw, signal);
  return { node, show };
}

function actionsOf({ labels, background }) {
  return labels.filter((label) => !background.includes(label));
}

/** Return the actions that cameras or zones recognise now, and would not with this model. */
function vanishing(model) {
  const now = store.state.cameras.flatMap(({ zones }) => zones.flatMap(({ actions }) => actions));
  return [...new Set(now)].filter((label) => !model.labels.includes(label)).sort();
}

/** Return how many held-out clips were named right, at the precision that the confusion is of. */
function headline({ confusion, top1, evaluated }) {
  const right = confusion.reduce((sum, row, at) => sum + row[at], 0);
  const share = confusion.length ? right / evaluated : Object.values(top1)[0];
  if (share === undefined || !evaluated) return el("span", { class: "muted small" }, "not evaluated");
  const of = ` of ${count(evaluated, "held-out clip")} right`;
  return fillWith(el("span", {}), el("strong", {}, percent(share)), el("span", { class: "muted small" }, of));
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function tags({ current, serving }) {
  if (!current && !serving) return null;
  return el(
    "div",
    { class: "row" },
    serving && stateMark("good", "Serving"),
    current && !serving && stateMark("warn", "Taken over, not serving yet"),
  );
}

function resultOf(model, open) {
  const precisions = Object.keys(model.top1);
  return el(
    "details",
    { open, dataset: { model: model.id } },
    el("summary", {}, "Result"),
    el(
      "div",
      { class: "stack" },
      precisions.length > 0 &&
        el(
          "table",
          { class: "precisions" },
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              ["Precision", "Right", "A hop here"].map((text, at) =>
                el("th", { scope: "col", class: at ? "number" : "" }, text),
              ),
            ),
          ),
          el(
            "tbody",
            {},
            precisions.map((name) =>
              el(
                "tr",
                {},
                el("th", { scope: "row" }, name.toUpperCase()),
                el("td", { class: "number" }, percent(model.top1[name])),
                el("td", { class: "number" }, name in model.hop_ms ? `${model.hop_ms[name].toFixed(1)} ms` : "-"),
              ),
            ),
          ),
        ),
      model.confusion.length > 0 && confusionTable(model.labels, model.confusion),
      model.notes.length > 0 &&
        el(
          "ul",
          { class: "notes small" },
          model.notes.map((text) => el("li", {}, text)),
        ),
    ),
  );
}

function linesOnce({ toml }, model) {
  return el(
    "div",
    { class: "note stack" },
    el("p", {}, `${model} is ready. Put these lines into the configuration once, then reload the service:`),
    linesToCopy(toml),
    el("p", { class: "small" }, "From then on, Take over is all that is needed."),
  );
}
