// Events: what happened, newest first, with snapshot and clip; a strip of the last hour above.
import { get } from "../api.js";
import { el, every, fillWith, newId, setText } from "../dom.js";
import { clipDialog, eventCard } from "../event_card.js";
import { emptyNote, errorNote, isAbort, linesToCopy, skeleton } from "../parts.js";
import { link, replaceQuery } from "../router.js";
import { on, store } from "../store.js";
import { timeline } from "../timeline.js";
import { day } from "../time.js";

const PAGE = 50; // actions of one request
const SCROLLED = 200; // pixels from which new events do not move what is read
const FILES_S = 3; // between two looks for files that are still to be written
const FILES_WITHIN_MS = 60_000; // after an action: later, they will not come
const STRIP_S = 20;
const RECORD_LINES = '[record]\nsnapshot = true\nclip = true\nfolder = "recordings"\n';

export function show(view, route, signal) {
  let filter = filterOf(route);
  let actions = new Map(); // id -> {event, playable, labelable, picture}
  let cards = new Map(); // id -> {action, node}
  let next = null; // the cursor of what is older
  let loading = new AbortController();
  let reading = false; // older actions; the button keeps the focus meanwhile

  const list = el("div", { class: "event-days" });
  const failed = el("div", {});
  const older = el("button", { type: "button", class: "button", hidden: true, onclick: more }, "Older events");
  const fresh = el("button", { type: "button", class: "button first fresh", onclick: showFresh, hidden: true });
  const strip = timeline((id) => cards.get(id)?.node.scrollIntoView({ block: "center" }));
  const camera = select("Camera", "All cameras", () => store.state.cameras.map(({ name }) => name), "camera");
  const label = select("Action", "All actions", allActions, "label");
  const dialog = clipDialog((id) => cards.get(id)?.node.querySelector("button")?.focus({ preventScroll: true }));
  view.append(
    el("div", { class: "head" }, el("h1", {}, "Events"), el("div", { class: "row filters" }, camera.node, label.node)),
    el("div", { class: "stack" }, strip.node, recordHint(), list, failed, el("div", { class: "row foot" }, older)),
    fresh,
    dialog.node,
  );

  function select(text, all, names, key) {
    const id = newId(key);
    const control = el("select", { id, onchange: () => change({ ...filter, [key]: control.value }) });

    function refresh() {
      const found = [...new Set([...names(), ...(filter[key] ? [filter[key]] : [])])].sort();
      const choices = [["", all], ...found.map((name) => [name, name])];
      fillWith(
        control,
        choices.map(([value, shown]) => el("option", { value, selected: value === filter[key] }, shown)),
      );
    }
    refresh();
    return { node: el("div", { class: "field" }, el("label", { for: id, class: "reader" }, text), control), refresh };
  }

  function change(to) {
    filter = to;
    replaceQuery(filter);
    refreshFilters();
    load();
  }

  function refreshFilters() {
    camera.refresh();
    label.refresh();
  }

  async function load() {
    fillWith(list, skeleton("320px"));
    fillWith(failed);
    older.hidden = true;
    drawStrip([]);
    actions = new Map();
    cards = new Map();
    await reload();
  }

  /** Read the newest actions, in place of those that are known. What is shown stays until they are here. */
  async function reload() {
    loading.abort();
    loading = new AbortController();
    try {
      const found = await read(null);
      actions = new Map(found.actions.map((action) => [action.event.id, action]));
      next = found.next;
      draw();
      fillWith(failed);
    } catch (error) {
      fail(error, load);
    }
  }

  async function more() {
    if (reading) return;
    reading = true;
    try {
      const found = await read(next);
      for (const action of found.actions) if (!actions.has(action.event.id)) actions.set(action.event.id, action);
      next = found.next;
      draw();
      fillWith(failed);
    } catch (error) {
      fail(error, more);
    } finally {
      reading = false;
    }
  }

  function read(before) {
    return get("/api/events", { ...filter, limit: PAGE, before }, AbortSignal.any([signal, loading.signal]));
  }

  function fail(error, again) {
    if (isAbort(error)) return;
    if (!actions.size) fillWith(list);
    fillWith(failed, errorNote(error, again));
  }

  function sorted() {
    return [...actions.values()].sort((a, b) => (a.event.started_at < b.event.started_at ? 1 : -1));
  }

  function draw() {
    const found = sorted();
    const days = Map.groupBy(found, ({ event }) => day(event.started_at));
    fillWith(
      list,
      [...days].map(([title, ofDay]) =>
        el("section", { class: "stack" }, el("h2", {}, title), el("ul", { class: "events" }, ofDay.map(card))),
      ),
      !found.length && empty(),
    );
    older.hidden = !next;
    fresh.hidden = true;
    drawStrip(found);
  }

  function drawStrip(found) {
    const cameras = store.state.cameras.map(({ name }) => name).filter((name) => [name, ""].includes(filter.camera));
    const since = next && found.length ? Date.parse(found.at(-1).event.started_at) : null;
    strip.show(
      found.map(({ event }) => event),
      cameras,
      since,
    );
  }

  function card(action) {
    const { id } = action.event;
    const known = cards.get(id);
    if (known && JSON.stringify(known.action) === JSON.stringify(action)) return known.node;
    const node = eventCard(action, dialog.play, known?.node);
    cards.set(id, { action, node });
    return node;
  }

  function empty() {
    if (filter.camera || filter.label) {
      const all = () => change({ camera: "", label: "" });
      return emptyNote("No event fits.", el("button", { type: "button", class: "button", onclick: all }, "Show all"));
    }
    const first = store.state.cameras[0]?.name;
    return emptyNote(
      "No events yet.",
      el("p", {}, "An event appears here as soon as an action is recognised."),
      first && el("p", {}, el("a", { href: link("camera", [first]) }, "Look at the scores, and try other thresholds")),
    );
  }

  /** Take an event of the stream. Its files are written a moment later: `lookForFiles` finds them. */
  function take(event) {
    if ((filter.camera && event.camera !== filter.camera) || (filter.label && event.label !== filter.label)) return;
    const { picture = false, playable = false, labelable = false } = actions.get(event.id) ?? {};
    update({ event, picture, playable, labelable });
  }

  function update(action) {
    const { id } = action.event;
    const shown = cards.get(id)?.node;
    actions.set(id, action);
    if (shown) {
      const focused = shown.contains(document.activeElement);
      const now = card(action);
      shown.replaceWith(now);
      if (focused) now.querySelector("button")?.focus();
      drawStrip(sorted());
    } else if (list.contains(document.activeElement) || scrollY > SCROLLED) {
      const count = [...actions.keys()].filter((one) => !cards.has(one)).length;
      setText(fresh, `${count} new`);
      fresh.hidden = false;
    } else {
      draw();
    }
  }

  function showFresh() {
    scrollTo(0, 0);
    draw();
    list.querySelector("button")?.focus({ preventScroll: true });
  }

  async function lookForFiles() {
    const { record } = store.state;
    if (!record.folder || ![...actions.values()].some(filesFollow)) return;
    try {
      const found = await read(null);
      for (const { event, picture, playable, labelable } of found.actions) {
        const known = actions.get(event.id);
        const changed =
          known && (known.picture !== picture || known.playable !== playable || Boolean(known.labelable) !== labelable);
        if (changed) update({ event: known.event, picture, playable, labelable });
      }
    } catch (error) {
      if (!isAbort(error)) fail(error, load);
    }
  }

  on("event", take, signal);
  on("resync", reload, signal);
  on("state", refreshFilters, signal);
  every(STRIP_S, () => drawStrip(sorted()), signal);
  every(FILES_S, lookForFiles, signal);
  load();
  return {
    update(to) {
      filter = filterOf(to);
      refreshFilters();
      load();
    },
  };
}

function filterOf({ query }) {
  return { camera: query.camera ?? "", label: query.label ?? "" };
}

function allActions() {
  return store.state.cameras.flatMap(({ zones }) => zones.flatMap((zone) => zone.actions));
}

/** True if a file of the action may still be written. */
function filesFollow({ event, picture, playable }) {
  if (Date.now() - Date.parse(event.ended_at ?? event.started_at) > FILES_WITHIN_MS) return false;
  return Boolean((event.snapshot && !picture) || (event.clip && event.type === "end" && !playable));
}

function recordHint() {
  const { record } = store.state;
  if (record.folder && (record.snapshot || record.clip)) return null;
  return el(
    "details",
    { class: "card body" },
    el("summary", {}, "Keep a picture and a clip of each action"),
    el("p", { class: "small" }, "Copy these lines into the configuration, then reload the service:"),
    linesToCopy(RECORD_LINES),
  );
}
