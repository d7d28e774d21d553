// A strip of the last hour or day: a bar for each action, a row for each camera.
import { el, fillWith, svg } from "./dom.js";
import { clock, length } from "./time.js";

const WIDTH = 1000;
const ROW = 26;
const MIN_BAR = 3;
const SPANS = [
  ["hour", "Last hour", 3_600_000, 6],
  ["day", "Last day", 86_400_000, 6],
];

/** Return the strip: {node, show(actions)}. `actions`: events, each the newest of its action. `onpick(id)`: of a bar. */
export function timeline(onpick) {
  let span = SPANS[0];
  let shown = [];
  const rows = el("div", { class: "strip-rows" });
  const choice = el(
    "fieldset",
    { class: "choice" },
    el("legend", { class: "reader" }, "Length of the strip"),
    SPANS.map((one) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name: "strip-span", checked: one === span, onchange: () => choose(one) }),
        el("span", {}, one[1]),
      ),
    ),
  );

  function choose(one) {
    span = one;
    show(shown);
  }

  function show(actions) {
    shown = actions;
    const to = Date.now();
    const from = to - span[2];
    const within = actions.filter((event) => endOf(event, to) >= from);
    const cameras = [...new Set(within.map(({ camera }) => camera))].sort();
    fillWith(
      rows,
      cameras.map((camera) =>
        row(
          camera,
          within.filter((event) => event.camera === camera),
          from,
          to,
          onpick,
        ),
      ),
      cameras.length
        ? axis(from, to, span[3])
        : el("p", { class: "muted small" }, `No action in the ${span[0] === "hour" ? "last hour" : "last day"}.`),
    );
  }
  const head = el("div", { class: "row spread" }, el("h2", {}, "Timeline"), choice);
  return { node: el("section", { class: "card body stack strip" }, head, rows), show };
}

function endOf(event, now) {
  return event.ended_at ? Date.parse(event.ended_at) : now;
}

function row(camera, events, from, to, onpick) {
  const at = (ms) => ((Math.max(ms, from) - from) / (to - from)) * WIDTH;
  const bars = events.map((event) => {
    const began = Date.parse(event.started_at);
    const ended = endOf(event, to);
    const what = `${event.label} at ${clock(began)}, ${event.ended_at ? length((ended - began) / 1000) : "still active"}`;
    const bar = svg(
      "rect",
      {
        x: at(began),
        y: 4,
        width: Math.max(at(ended) - at(began), MIN_BAR),
        height: ROW - 8,
        rx: 2,
        class: event.ended_at ? null : "active",
        onclick: () => onpick(event.id),
      },
      svg("title", {}, what),
    );
    return bar;
  });
  return el(
    "div",
    { class: "strip-row" },
    el("span", { class: "small strip-name" }, camera),
    svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${ROW}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${camera}: ${events.length} ${events.length === 1 ? "action" : "actions"}, listed below`,
      },
      svg("rect", { class: "ground", x: 0, y: 0, width: WIDTH, height: ROW }),
      bars,
    ),
  );
}

function axis(from, to, parts) {
  const marks = Array.from({ length: parts + 1 }, (_, number) => from + ((to - from) * number) / parts);
  return el(
    "div",
    { class: "strip-row", "aria-hidden": "true" },
    el("span", { class: "strip-name" }),
    el(
      "div",
      { class: "strip-axis muted" },
      marks.map((ms) => el("span", {}, clock(ms).slice(0, 5))),
    ),
  );
}
