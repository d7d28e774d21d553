// One camera: its picture with its zones, the scores of the last five minutes, thresholds to try, a zone to draw.
import { get, path } from "../api.js";
import { adviceOf, figuresOf, fillActions, setEnabled, stateOf } from "../camera_state.js";
import { el, fillWith, setClass, setText } from "../dom.js";
import { emptyNote, errorNote, isAbort, liveControls, skeleton, textOf } from "../parts.js";
import { livePicture } from "../picture.js";
import { MAX_LINES, scorePlot } from "../plot.js";
import { link } from "../router.js";
import { ScoreHistory, SECONDS } from "../score_history.js";
import { cameraOf, on } from "../store.js";
import { thresholds } from "../thresholds.js";
import { length } from "../time.js";
import { zoneEditor, zoneOutlines } from "../zones.js";

const PICTURE_S = 0.5;
const MAX_WIDTH = 960;
const EVENTS = 50; // actions that are marked in the plot at first

export function show(view, route, signal) {
  const name = route.parts[0];
  if (!cameraOf(name)) {
    view.append(
      el("div", { class: "head" }, el("h1", {}, "Camera")),
      emptyNote(`There is not any camera ${name}.`, el("a", { href: link("cameras") }, "All cameras")),
    );
    return null;
  }
  const picture = pictureSection(name, signal);
  const tabs = el("nav", { class: "tabs", "aria-label": "Zones" });
  const scores = el("div", { class: "stack" });
  let chosen = null; // the zone that is shown
  let leave = new AbortController();

  view.append(
    el("div", { class: "head" }, el("h1", {}, name), tabs, enabledSwitch(name, signal)),
    el("div", { class: "camera-view" }, el("div", { class: "stack" }, picture.nodes), scores),
  );

  function showZone(query) {
    const { zones } = cameraOf(name);
    const place = zones.find(({ zone }) => zone === query.zone) ?? zones[0];
    chosen = place.zone;
    leave.abort();
    leave = new AbortController();
    const both = AbortSignal.any([leave.signal, signal]);
    fillWith(
      tabs,
      place.zone !== null &&
        zones.map(({ zone }) =>
          el("a", { href: link("camera", [name], { zone }), "aria-current": zone === chosen && "true" }, zone),
        ),
    );
    tabs.hidden = place.zone === null;
    picture.outline(chosen);
    showScores(scores, name, place, both);
  }

  showZone(route.query);
  on(
    "state",
    () => {
      if (cameraOf(name)) picture.outline(chosen);
      else location.replace(link("cameras"));
    },
    signal,
  );
  return { update: ({ query }) => showZone(query) };
}

function enabledSwitch(name, signal) {
  const box = el("input", { type: "checkbox", role: "switch", checked: cameraOf(name).enabled, onchange: flip });
  const failed = el("span", { class: "small", role: "alert" });
  on(
    "camera",
    ({ camera }) => {
      if (camera === name) box.checked = cameraOf(name).enabled;
    },
    signal,
  );

  async function flip() {
    setText(failed, await setEnabled(name, box.checked));
    box.checked = cameraOf(name)?.enabled ?? false;
  }
  return liveControls(signal, { class: "row" }, el("label", { class: "switch" }, box, "Camera on"), failed);
}

function pictureSection(name, signal) {
  let size = sizeOf(cameraOf(name));
  let zone = null;
  const over = el("div", { class: "over" });
  const box = el(
    "div",
    { class: "picture-box" },
    livePicture(name, {
      seconds: PICTURE_S,
      maxWidth: MAX_WIDTH,
      signal,
      onpicture: (now) => {
        size = now;
        outline(zone);
        edit();
      },
    }),
    over,
  );
  const state = el("div", { class: "row" });
  const figures = el("p", { class: "muted small figures" });
  const actions = el("div", { class: "actions" });
  const editor = el("div", {});
  let outlines = null;
  let edited = ""; // the size that the editor was made for

  function outline(chosen) {
    zone = chosen;
    const { zones } = cameraOf(name);
    outlines?.remove();
    outlines = size && zones.some((one) => one.zone !== null) ? zoneOutlines(zones, size, chosen) : null;
    if (outlines) over.before(outlines);
  }

  function edit() {
    const now = `${size?.width}x${size?.height}`;
    if (!size || now === edited) return;
    edited = now;
    fillWith(editor, zoneEditor(cameraOf(name), box, size, signal));
  }

  function refresh() {
    const { status } = cameraOf(name);
    fillWith(state, stateOf(status));
    setText(figures, figuresOf(cameraOf(name)));
    fillActions(actions, name);
    setClass(box, "stale", status.state !== "streaming");
    const reason = status.state === "streaming" ? "" : status.reason;
    fillWith(
      over,
      reason && el("p", {}, reason),
      adviceOf(status.state) && el("p", { class: "small" }, adviceOf(status.state)),
    );
    setText(fault, status.state === "streaming" ? status.reason : "");
    fault.hidden = !fault.textContent;
  }

  const fault = el("p", { class: "note warn", hidden: true });
  refresh();
  edit();
  on("camera", ({ camera }) => camera === name && refresh(), signal);
  on("state", () => cameraOf(name) && refresh(), signal);
  on("action", ({ camera }) => camera === name && fillActions(actions, name), signal);
  on("scores", ({ camera }) => camera === name && fillActions(actions, name), signal);
  return {
    outline,
    nodes: [
      el("div", { class: "card" }, box, el("div", { class: "body status" }, state, actions, figures)),
      fault,
      editor,
    ],
  };
}

function sizeOf({ status }) {
  return status.width && status.height ? { width: status.width, height: status.height } : null;
}

/** Fill the column of scores: the plot and its table, and the thresholds. */
function showScores(column, camera, place, signal) {
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
      el("div", { class: "row spread" }, el("h2", {}, "Scores"), covered),
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
      if (!isAbort(error) && !signal.aborted) fillWith(box, errorNote(error, load));
    }
  }

  async function loadSpans() {
    const { actions } = await get("/api/events", { camera, limit: EVENTS }, signal);
    for (const { event } of actions) addSpan(event);
    plot.mark([...spans.values()]);
  }

  function addSpan(event) {
    if ((event.zone ?? null) !== place.zone) return;
    spans.set(event.id, {
      label: event.label,
      from: Date.parse(event.started_at),
      to: event.ended_at ? Date.parse(event.ended_at) : null,
    });
  }

  function draw() {
    setText(
      covered,
      history.atMs.length ? `The last ${length(Math.round(Math.min(history.seconds, SECONDS) / 10) * 10)}` : "",
    );
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
