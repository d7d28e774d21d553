// One camera: its picture with its zones, the scores of the last five minutes, thresholds to try, a zone to draw.
import { adviceOf, figuresOf, fillActions, setEnabled, stateOf } from "../camera_state.js";
import { el, fillWith, setClass, setText } from "../dom.js";
import { emptyNote, liveControls } from "../parts.js";
import { livePicture } from "../picture.js";
import { link } from "../router.js";
import { showScores } from "../score_column.js";
import { cameraOf, on } from "../store.js";
import { zoneEditor, zoneOutlines } from "../zones.js";

const PICTURE_S = 0.5;
const MAX_WIDTH = 960;

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
  const scores = el("div", { class: "stack scores" });
  let chosen = null; // the zone that is shown
  let defined = ""; // the zones, as they were when they were shown
  let leave = new AbortController();

  view.append(
    el("div", { class: "head" }, el("h1", {}, name), tabs, enabledSwitch(name, signal)),
    el("div", { class: "camera-view" }, picture.node, scores, picture.editor),
  );

  function showZone(query) {
    const { zones } = cameraOf(name);
    const place = zones.find(({ zone }) => zone === query.zone) ?? zones[0];
    chosen = place.zone;
    defined = definitionOf(zones);
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
      const now = cameraOf(name);
      if (!now) location.replace(link("cameras"));
      else if (definitionOf(now.zones) !== defined) showZone({ zone: chosen }); // a reload of the configuration
    },
    signal,
  );
  return { update: ({ query }) => showZone(query) };
}

/** Return what a view of the zones depends on, without what changes all the time. */
function definitionOf(zones) {
  return JSON.stringify(zones.map(({ zone, region, polygon, actions }) => [zone, region, polygon, actions]));
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
  const fault = el("p", { class: "note warn", hidden: true });
  const editor = el("div", { class: "editor" });
  let outlines = null;
  let edited = { size: "", leave: new AbortController() }; // what the editor was made for
  let troubled = ""; // what is shown over the picture

  function outline(chosen) {
    zone = chosen;
    const { zones } = cameraOf(name);
    outlines?.remove();
    outlines = size && zones.some((one) => one.zone !== null) ? zoneOutlines(zones, size, chosen) : null;
    if (outlines) over.before(outlines);
  }

  function edit() {
    const now = `${size?.width}x${size?.height}`;
    if (!size || now === edited.size) return;
    edited.leave.abort();
    edited = { size: now, leave: new AbortController() };
    fillWith(editor, zoneEditor(cameraOf(name), box, size, AbortSignal.any([signal, edited.leave.signal])));
  }

  function refresh() {
    const status = cameraOf(name)?.status;
    if (!status) return;
    fillWith(state, stateOf(status));
    setText(figures, figuresOf(cameraOf(name)));
    fillActions(actions, name);
    setClass(box, "stale", status.state !== "streaming");
    setText(fault, status.state === "streaming" ? status.reason : "");
    fault.hidden = !fault.textContent;
    const trouble = status.state === "streaming" ? "" : JSON.stringify([status.state, status.reason]);
    if (trouble === troubled) return;
    troubled = trouble;
    const advice = adviceOf(status.state);
    fillWith(
      over,
      trouble && status.reason && el("p", {}, status.reason),
      advice && el("p", { class: "small" }, advice),
    );
  }

  refresh();
  edit();
  on("camera", ({ camera }) => camera === name && refresh(), signal);
  on("state", refresh, signal);
  on("action", ({ camera }) => camera === name && fillActions(actions, name), signal);
  on("scores", ({ camera }) => camera === name && fillActions(actions, name), signal);
  const card = el("div", { class: "card" }, box, el("div", { class: "body status" }, state, actions, figures));
  return { outline, editor, node: el("div", { class: "stack" }, card, fault) };
}

function sizeOf({ status }) {
  return status.width && status.height ? { width: status.width, height: status.height } : null;
}
