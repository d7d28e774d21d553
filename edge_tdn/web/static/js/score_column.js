// The scores of one place, a camera or one of its zones: the plot, its table and the thresholds below.
import { get, path } from "./api.js";
import { el, fillWith, setText } from "./dom.js";
import { errorNote, isAbort, skeleton } from "./parts.js";
import { MAX_LINES, scorePlot } from "./plot.js";
import { ScoreHistory, SECONDS } from "./score_history.js";
import { cameraOf, on } from "./store.js";
import { thresholds } from "./thresholds.js";
import { length } from "./time.js";

const EVENTS = 50; // actions that are marked in the plot at first

/** Fill the column of scores: the plot and its table, and the thresholds. */
export function showScores(column, camera, place, signal) {
  const history = new ScoreHistory();
  const spans = new Map(); // by the id of the action
  const box = el("div", { class: "plot" }, skeleton("100%"));
  const table = el("table", { class: "score-table" });
  const tableBox = el("div", {}, table); // as high as the table will be, so that nothing moves
  tableBox.style.minHeight = `${(Math.min(place.actions.length, MAX_LINES) + 1) * 33 + 8}px`;
  const covered = el("p", { class: "muted small" });
  let plot = null;
  let action = null;
  const limits = { now: null };
  const section = thresholds(camera, place, signal, {
    hasScores: () => history.atMs.length > 0,
    onlimits: (now) => {
      limits.now = now;
      plot?.limits(now);
    },
    onchoose: (now) => {
      action = now;
      plot?.choose(now);
    },
  });
  fillWith(
    column,
    el(
      "section",
      { class: "card body", "aria-label": "Scores" },
      el("div", { class: "row" }, el("h2", {}, "Scores"), covered),
      box,
      tableBox,
    ),
    section.node,
  );

  async function load() {
    try {
      const query = { zone: place.zone };
      const [drawing, loaded] = await Promise.all([
        plot ?? scorePlot(box, table, history, signal, (now) => section.choose(now === action ? null : now)),
        get(path("api", "camera", camera, "scores"), query, signal),
      ]);
      plot = drawing;
      history.load(loaded);
      plot.limits(limits.now);
      plot.choose(action);
      draw();
      await loadSpans();
    } catch (error) {
      if (!isAbort(error)) fillWith(box, errorNote(error, load));
    }
  }

  async function loadSpans() {
    try {
      const { actions } = await get("/api/events", { camera, limit: EVENTS }, signal);
      spans.clear();
      for (const { event } of actions.reverse()) addSpan(event);
    } catch (error) {
      if (error.name !== "ApiError") throw error; // without them the plot is as good
    }
    plot.mark([...spans.values()]);
  }

  function addSpan(event) {
    if ((event.zone ?? null) !== place.zone) return;
    spans.set(event.id, {
      label: event.label,
      from: Date.parse(event.started_at),
      to: event.ended_at ? Date.parse(event.ended_at) : null,
    });
    if (spans.size > 2 * EVENTS) spans.delete(spans.keys().next().value); // the oldest
  }

  function draw() {
    setText(
      covered,
      history.atMs.length ? `The last ${length(Math.round(Math.min(history.seconds, SECONDS) / 10) * 10)}` : "",
    );
    tableBox.hidden = !history.atMs.length && cameraOf(camera)?.status.state !== "streaming";
    if (history.atMs.length) plot.draw();
    else plot.sayEmpty("No scores yet", el("p", {}, nextStep()));
  }

  function nextStep() {
    const state = cameraOf(camera)?.status.state;
    if (state === "disabled") return "The camera is off. Switch it on to see its scores.";
    if (state !== "streaming") return "They begin when the camera streams.";
    return `The first clip needs ${length(place.clip_s)} of pictures.`;
  }

  load();
  on("resync", load, signal);
  on(
    "scores",
    (clip) => {
      if (!plot || clip.camera !== camera || (clip.zone ?? null) !== place.zone) return;
      history.add(clip);
      draw();
    },
    signal,
  );
  on(
    "camera",
    (status) => {
      if (plot && status.camera === camera && !history.atMs.length) draw();
    },
    signal,
  );
  on(
    "event",
    (event) => {
      if (event.camera !== camera) return;
      addSpan(event);
      plot?.mark([...spans.values()]);
    },
    signal,
  );
}
