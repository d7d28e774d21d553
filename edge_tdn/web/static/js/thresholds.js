// Thresholds: try them on the scores that are kept, then apply them until the next start, then copy their lines.
import { get, path, post } from "./api.js";
import { el, fillWith, newId, setText } from "./dom.js";
import { isAbort, linesToCopy, liveControls, textOf } from "./parts.js";
import { cameraOf, on } from "./store.js";
import { length, timeOf } from "./time.js";

const SETTLE_MS = 300;
const LATE_MS = 10_000; // after which a status is newer than what was applied
const MOVE =
  "Move a threshold to see what it would have given in the last minutes. Nothing changes before you apply it.";
const SAME_MS = 1500; // two actions that start within it are one

/**
 * Return the section {node, choose}: `choose(action or null)` selects an action.
 *
 * `place`: the zone of the state. `onlimits({enter, exit})`, `onchoose(action or null)`: for the plot. `hasScores()`:
 * there is something to try them on.
 */
export function thresholds(camera, place, signal, { onlimits, onchoose, hasScores }) {
  const choice = el(
    "select",
    { id: newId("action"), onchange: () => select(choice.value || null) },
    el("option", { value: "" }, "All actions"),
    place.actions.map((action) => el("option", { value: action }, action)),
  );
  const enter = slider("An action starts at", (value) => set(value, Math.min(exit.value(), value)), type);
  const exit = slider("and ends below", (value) => set(Math.max(enter.value(), value), value), type);
  const counts = el("p", { role: "status" });
  const list = el("ol", { tabindex: "0", "aria-label": "Actions with these thresholds", hidden: true });
  const reset = el("button", { type: "button", class: "button quiet", onclick: () => follow() }, "Reset");
  const apply = el("button", { type: "button", class: "button first", onclick: send }, "Apply until restart");
  const outcome = el("div", { class: "stack", role: "status" });
  let moved = false;
  let applied = null; // {enter, exit, until}: what no status has confirmed yet; older ones may be on their way
  let timer = null;
  let asking = null;

  const node = el(
    "section",
    { class: "card body", "aria-label": "Thresholds" },
    liveControls(
      signal,
      { class: "thresholds" },
      el(
        "div",
        { class: "row spread" },
        el("h2", {}, "Thresholds"),
        el("div", {}, el("label", { class: "reader", for: choice.id }, "Action"), choice),
      ),
      enter.node,
      exit.node,
      el("div", { class: "row" }, apply, reset),
      outcome,
      el("div", { class: "what-if" }, counts, list),
    ),
  );

  /** Return the thresholds in force of the chosen action. */
  function inForce() {
    const { status } = cameraOf(camera) ?? {};
    const of = place.zone === null ? status : status?.zones?.find(({ zone }) => zone === place.zone);
    return of?.thresholds?.actions?.[choice.value] ?? of?.thresholds ?? null;
  }

  function follow() {
    const now = inForce();
    moved = false;
    applied = null;
    if (now) show(now.enter, now.exit);
    clearTimeout(timer);
    asking?.abort();
    explain();
    setButtons();
  }

  function show(enterAt, exitAt) {
    enter.show(enterAt);
    exit.show(exitAt);
    onlimits({ enter: enterAt, exit: exitAt });
  }

  /** A number is being typed: a status that comes meanwhile does not replace it. */
  function type() {
    moved = true;
  }

  function set(enterAt, exitAt) {
    show(enterAt, exitAt);
    moved = true;
    fillWith(outcome);
    setButtons();
    clearTimeout(timer);
    asking?.abort();
    timer = setTimeout(ask, SETTLE_MS);
  }

  function select(action) {
    choice.value = action ?? "";
    onchoose(action);
    fillWith(outcome);
    follow();
  }

  function setButtons() {
    const now = inForce();
    const same = now && now.enter === enter.value() && now.exit === exit.value();
    apply.disabled = !now || same;
    reset.disabled = !moved || same;
  }

  function explain() {
    fillWith(counts, MOVE);
    fillWith(list);
    list.hidden = true;
  }

  function showWhatIf({ seconds, now, then }) {
    fillWith(
      counts,
      `In the last ${length(seconds)}: `,
      el("strong", {}, actions(now.count)),
      ". With these thresholds: ",
      el("strong", {}, String(then.count)),
      ".",
    );
    fillWith(list, compared(now.actions, then.actions).map(row));
    list.hidden = !list.childElementCount;
  }

  async function ask() {
    if (!hasScores()) {
      fillWith(counts, "There are not any scores yet to try this on.");
      return;
    }
    asking = new AbortController();
    const query = { zone: place.zone, enter: enter.value(), exit: exit.value(), label: choice.value };
    try {
      const stop = AbortSignal.any([asking.signal, signal]);
      showWhatIf(await get(path("api", "camera", camera, "what-if"), query, stop));
    } catch (error) {
      if (!isAbort(error)) fillWith(counts, textOf(error));
    }
  }

  async function send() {
    const body = { enter: enter.value(), exit: exit.value() };
    if (choice.value) body.label = choice.value;
    if (place.zone !== null) body.zone = place.zone;
    apply.disabled = true;
    reset.disabled = true;
    try {
      const { toml } = await post(path("api", "camera", camera, "thresholds"), body, signal);
      moved = false;
      applied = { ...body, until: performance.now() + LATE_MS };
      fillWith(
        outcome,
        el("p", {}, "Applied until the daemon starts again. To keep it, put these lines into the configuration:"),
        toml && linesToCopy(toml),
      );
    } catch (error) {
      if (isAbort(error)) return;
      fillWith(outcome, el("p", { class: "note bad" }, textOf(error)));
      setButtons();
    }
  }

  /** True if the status that has come may be of before what was applied. */
  function isOlder() {
    const now = inForce();
    const confirmed = now?.enter === applied?.enter && now?.exit === applied?.exit;
    if (confirmed || performance.now() > applied?.until) applied = null;
    return applied !== null;
  }

  on(
    "camera",
    (status) => {
      if (status.camera !== camera) return;
      if (moved) setButtons();
      else if (!isOlder()) {
        const now = inForce();
        if (now && (now.enter !== enter.value() || now.exit !== exit.value())) {
          show(now.enter, now.exit);
          fillWith(outcome); // set by another client, or by a restart
        }
        setButtons();
      }
    },
    signal,
  );
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  follow();
  return { node, choose: select };
}

function slider(text, onmove, ontype) {
  const id = newId("threshold");
  const range = el("input", {
    id,
    type: "range",
    min: "0",
    max: "1",
    step: "0.01",
    oninput: () => onmove(Number(range.value)),
  });
  const number = el("input", {
    type: "number",
    min: "0",
    max: "1",
    step: "0.01",
    "aria-label": `${text}, as a number`,
    oninput: ontype,
    onchange: () => onmove(Math.min(Math.max(Number(number.value) || 0, 0), 1)),
  });
  return {
    node: el("div", { class: "slider" }, el("label", { for: id }, text), range, number),
    value: () => Number(number.value),
    show(value) {
      range.value = String(value);
      number.value = String(value);
    },
  };
}

function actions(count) {
  return count === 1 ? "1 action" : `${count} actions`;
}

/** Return the actions of both, each with its change: "" as now, "more" then only, "gone" now only; newest first. */
function compared(now, then) {
  const left = [...now];
  const both = then.map((action) => {
    const same = left.findIndex(
      (other) =>
        other.label === action.label &&
        Math.abs(Date.parse(other.started_at) - Date.parse(action.started_at)) <= SAME_MS,
    );
    if (same >= 0) left.splice(same, 1);
    return { ...action, change: same >= 0 ? "" : "more" };
  });
  return [...both, ...left.map((action) => ({ ...action, change: "gone" }))].sort(
    (one, other) => Date.parse(other.started_at) - Date.parse(one.started_at),
  );
}

const CHANGES = { "": "as now", more: "in addition", gone: "not any more" };

function row({ label, started_at: from, ended_at: to, change }) {
  const of = to ? length((Date.parse(to) - Date.parse(from)) / 1000) : "active";
  return el(
    "li",
    { class: change },
    timeOf(from, "clock"),
    el("span", { class: "label" }, label),
    el("span", { class: "muted" }, of),
    el("span", { class: "change" }, CHANGES[change]),
  );
}
