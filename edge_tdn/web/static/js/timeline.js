// A strip of the last hour or day: a row for each camera, with a bar for each action.
import { el, fillWith, setText, svg } from "./dom.js";
import { clock, length } from "./time.js";

const WIDTH = 1000;
const ROW = 26;
const MIN_BAR = 3;
const MARKS = 6; // parts of the axis
const SPANS = [
  ["Last hour", 3_600_000],
  ["Last day", 86_400_000],
];

/** Return the strip: {node, show(events, cameras, since)}. `onpick(id)` is called for the bar of an action. */
export function timeline(onpick) {
  let span = SPANS[0];
  let last = [[], [], null];
  const rows = el("div", { class: "strip-rows" });
  const known = el("span", { class: "muted small known" });
  const choice = el(
    "fieldset",
    { class: "choice" },
    el("legend", { class: "reader" }, "Length of the timeline"),
    SPANS.map((one) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name: "strip-span", checked: one === span, onchange: () => choose(one) }),
        el("span", {}, one[0]),
      ),
    ),
  );

  function choose(one) {
    span = one;
    show(...last);
  }

  /** Draw the newest events of each action. `since`: ms from which all of them are known; null: from the beginning. */
  function show(events, cameras, since) {
    last = [events, cameras, since];
    const to = Date.now();
    const from = to - span[1];
    const within = events.filter((event) => endOf(event, to) >= from);
    fillWith(
      rows,
      cameras.map((camera) => {
        const own = within.filter((event) => event.camera === camera);
        return row(camera, own, { from, to, since: since ?? from }, onpick);
      }),
      axis(from, to),
    );
    setText(known, since > from ? `loaded back to ${clock(since).slice(0, 5)}` : "");
  }

  const head = el("div", { class: "row spread" }, el("h2", {}, "Timeline ", known), choice);
  return { node: el("section", { class: "card body stack strip" }, head, rows), show };
}

function endOf(event, now) {
  return event.ended_at ? Date.parse(event.ended_at) : now;
}

function row(camera, events, { from, to, since }, onpick) {
  const at = (ms) => ((Math.max(ms, from) - from) / (to - from)) * WIDTH;
  const bars = events.map((event) => {
    const began = Date.parse(event.started_at);
    const ended = endOf(event, to);
    const took = event.ended_at ? length((ended - began) / 1000) : "still active";
    const width = Math.max(at(ended) - at(began), MIN_BAR);
    return svg(
      "rect",
      {
        x: Math.min(at(began), WIDTH - width),
        y: 4,
        width,
        height: ROW - 8,
        class: event.ended_at ? null : "active",
        onclick: () => onpick(event.id),
      },
      svg("title", {}, `${event.label} at ${clock(began)}, ${took}`),
    );
  });
  const count = `${events.length} ${events.length === 1 ? "action" : "actions"}`;
  return el(
    "div",
    { class: "strip-row" },
    el("span", { class: "small strip-name", title: camera }, camera),
    svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${ROW}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${camera}: ${count}, listed below`,
      },
      svg("rect", { class: "ground", x: at(since), y: 0, width: WIDTH - at(since), height: ROW }),
      bars,
    ),
  );
}

function axis(from, to) {
  const marks = Array.from({ length: MARKS + 1 }, (_, number) => from + ((to - from) * number) / MARKS);
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
