// A trial under way: the scores of the model on trial beside those of the model that serves, and what it recognised.
import { post } from "../api.js";
import { el, fillWith, setClass, setText } from "../dom.js";
import { textOf } from "../parts.js";
import { on, placeKey, store } from "../store.js";
import { length, timeOf } from "../time.js";
import { attempt, count } from "./parts.js";

/** True if a trial is under way. */
export function isTrying({ state }) {
  return state === "opening" || state === "running";
}

/** Return {node, draw(state), focus()}. `onstate(state)`: called with each state. */
export function trialPanel(signal, onstate) {
  let state = null;
  let rows = new Map(); // action -> {ours, serving}: bars
  const title = el("h3", {});
  const left = el("p", { class: "muted small" });
  const error = attempt(textOf);
  const stop = el("button", { type: "button", class: "button", onclick: end }, "End the trial");
  const head = el("div", { class: "row spread" }, el("div", {}, title, left), stop);
  const body = el("tbody", {});
  const table = el(
    "table",
    { class: "trial-scores" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ["Action", "On trial", "Serving"].map((text) => el("th", { scope: "col" }, text)),
      ),
    ),
    body,
  );
  const found = el("div", { class: "stack trial-found" });
  const why = el("p", { class: "note", role: "status", hidden: true });
  const running = el("div", { class: "stack trial" }, head, table, found, error.node);
  const node = el("div", { class: "stack" }, running, why);

  async function end() {
    await error.run(async () => draw(await post("/api/trial/stop", {}, signal)));
  }

  function draw(now) {
    const before = state;
    state = now;
    const active = isTrying(now);
    setClass(running, "active", active);
    node.hidden = now.state === "idle";
    stop.hidden = !active;
    const focused = document.activeElement === stop && !active;
    setText(title, `${now.model} on ${now.zone === null ? now.camera : `${now.camera}, ${now.zone}`}`);
    setText(left, active ? leftText(now) : count(now.clips, "clip") + " scored");
    setText(why, active ? "" : outcomeText(now));
    why.classList.toggle("bad", now.state === "failed");
    why.hidden = !why.textContent;
    table.hidden = !active;
    if (active) drawScores();
    drawFound(before);
    if (focused) {
      title.tabIndex = -1;
      title.focus();
    }
    onstate(now);
  }

  function drawScores() {
    const serving = store.latest.get(placeKey(state.camera, state.zone));
    const actions = [...new Set([...state.labels, ...Object.keys(serving?.scores ?? {})])];
    if (actions.length !== rows.size || actions.some((one) => !rows.has(one))) {
      rows = new Map(actions.map((one) => [one, { ours: scoreBar(), serving: scoreBar() }]));
      fillWith(
        body,
        [...rows].map(([one, bars]) =>
          el("tr", {}, el("th", { scope: "row" }, one), el("td", {}, bars.ours.node), el("td", {}, bars.serving.node)),
        ),
      );
    }
    for (const [one, bars] of rows) {
      bars.ours.set(state.labels.includes(one) ? (state.scores[one] ?? null) : undefined, state.action === one);
      bars.serving.set(serving?.scores ? serving.scores[one] : null, serving?.action === one);
    }
  }

  function drawFound(before) {
    if (before && JSON.stringify(before.events) === JSON.stringify(state.events) && found.children.length) return;
    if (!state.events.length) {
      fillWith(
        found,
        state.state === "running" && el("p", { class: "muted small" }, "Nothing recognised yet. Perform the action."),
      );
      return;
    }
    fillWith(
      found,
      el("h4", { class: "small muted" }, "Recognised on trial, not sent to anyone"),
      el(
        "ul",
        { class: "trial-events" },
        state.events.map(({ label, started_at: from, ended_at: to, peak }) =>
          el(
            "li",
            {},
            el("strong", {}, label),
            el(
              "span",
              { class: "muted small" },
              timeOf(from, "clock"),
              ` · ${lengthOf(from, to)} · peak ${peak.toFixed(2)}`,
            ),
          ),
        ),
      ),
    );
  }

  on(
    "scores",
    ({ camera, zone }) => {
      if (state?.state === "running" && camera === state.camera && (zone ?? null) === state.zone) drawScores();
    },
    signal,
  );
  return { node, draw, focus: () => stop.focus({ preventScroll: true }) };
}

function leftText({ state, left_s: left, clips }) {
  if (state === "opening") return "The model is being opened.";
  return `${length(Math.round(left))} left · ${count(clips, "clip")} scored`;
}

function lengthOf(from, to) {
  return to ? length((Date.parse(to) - Date.parse(from)) / 1000) : "still active";
}

function outcomeText({ state, text }) {
  if (state === "failed") return `The trial failed: ${text}`;
  return state === "ended" ? `The trial has ended${text ? `: ${text}` : ""}.` : "";
}

/** Return a bar: {node, set(score, active)}; `score`: null: none yet; undefined: not one of its actions. */
function scoreBar() {
  const filled = el("span", {});
  const number = el("span", { class: "number small" });
  const node = el("div", { class: "score-bar" }, el("div", { "aria-hidden": "true" }, filled), number);

  function set(score, active) {
    setText(number, score === undefined ? "-" : score === null ? "..." : score.toFixed(2));
    filled.style.width = `${100 * (score ?? 0)}%`;
    node.classList.toggle("active", active);
  }
  return { node, set };
}
