// Events: what happened, newest first, with snapshot and clip; a strip of the last hour above.
import { get, path } from "../api.js";
import { el, fillWith, newId, setText } from "../dom.js";
import { emptyNote, errorNote, facts, isAbort, linesToCopy, skeleton } from "../parts.js";
import { link, replaceQuery } from "../router.js";
import { on, store } from "../store.js";
import { timeline } from "../timeline.js";
import { day, length, timeOf } from "../time.js";

const PAGE = 50;
const RECORD_LINES = '[record]\nsnapshot = true\nclip = true\nfolder = "recordings"\n';
const REASONS = {
  below_threshold: "its score fell",
  superseded: "another action took its place",
  max_length: "it reached its maximum length",
  video_ended: "the video ended",
  stream_lost: "the camera's stream was lost",
  disabled: "the camera was switched off",
  shutdown: "the daemon stopped, or its configuration changed",
  interrupted: "the daemon was interrupted",
  failed: "the network failed",
};

export function show(view, route, signal) {
  let filter = { camera: route.query.camera ?? "", label: route.query.label ?? "" };
  let actions = new Map(); // id -> {event, playable, picture}
  let cards = new Map(); // id -> element
  let next = null;
  let loading = new AbortController();
  const list = el("div", { class: "event-days" });
  const foot = el("div", { class: "row foot" });
  const strip = timeline((id) => cards.get(id)?.scrollIntoView({ block: "center" }));
  const camera = select("Camera", "All cameras", () => store.state.cameras.map(({ name }) => name), "camera");
  const label = select("Action", "All actions", allLabels, "label");
  const dialog = el("dialog", { "aria-label": "Recording" });
  dialog.addEventListener("close", () => dialog.replaceChildren());
  view.append(
    el("div", { class: "head" }, el("h1", {}, "Events"), el("div", { class: "row filters" }, camera.node, label.node)),
    el("div", { class: "stack" }, strip.node, recordHint(), list, foot),
    dialog,
  );

  function select(text, all, names, key) {
    const id = newId(key);
    const control = el("select", { id, onchange: () => change({ ...filter, [key]: control.value }) });
    function refresh() {
      const found = new Set([...names(), ...(filter[key] ? [filter[key]] : [])]);
      fillWith(
        control,
        el("option", { value: "" }, all),
        [...found].sort().map((name) => el("option", { value: name, selected: name === filter[key] }, name)),
      );
    }
    refresh();
    return { node: el("div", { class: "field" }, el("label", { for: id, class: "reader" }, text), control), refresh };
  }

  function allLabels() {
    return store.state.cameras.flatMap(({ zones }) => zones.flatMap((zone) => zone.actions));
  }

  function change(to) {
    filter = to;
    replaceQuery(filter);
    load();
  }

  async function load() {
    loading.abort();
    loading = new AbortController();
    actions = new Map();
    cards = new Map();
    next = null;
    fillWith(list, skeleton("320px"));
    fillWith(foot);
    await more(loading.signal);
  }

  async function more(wanted) {
    const query = { ...filter, limit: PAGE, before: next };
    try {
      const found = await get("/api/events", query, AbortSignal.any([signal, wanted]));
      for (const one of found.actions) if (!actions.has(one.event.id)) actions.set(one.event.id, one);
      next = found.next;
      draw();
    } catch (error) {
      if (isAbort(error)) return;
      const note = errorNote(error, () => more(wanted));
      if (actions.size) fillWith(foot, note);
      else fillWith(list, note);
    }
  }

  function sorted() {
    return [...actions.values()].sort((a, b) => (a.event.started_at < b.event.started_at ? 1 : -1));
  }

  function draw() {
    const found = sorted();
    strip.show(found.map(({ event }) => event));
    const days = Map.groupBy(found, ({ event }) => day(event.started_at));
    fillWith(
      list,
      [...days].map(([title, ofDay]) =>
        el(
          "section",
          { class: "stack" },
          el("h2", {}, title),
          el(
            "ul",
            { class: "events" },
            ofDay.map((one) => card(one)),
          ),
        ),
      ),
      !found.length && empty(),
    );
    fillWith(
      foot,
      next && el("button", { type: "button", class: "button", onclick: () => more(loading.signal) }, "Older events"),
    );
  }

  function empty() {
    if (filter.camera || filter.label) {
      const all = el(
        "button",
        { type: "button", class: "button", onclick: () => change({ camera: "", label: "" }) },
        "Show all",
      );
      return emptyNote("No event fits.", all);
    }
    const first = store.state.cameras[0]?.name;
    return emptyNote(
      "No events yet.",
      el("p", {}, "An event appears here as soon as an action is recognised."),
      first && el("p", {}, el("a", { href: link("camera", [first]) }, "Look at the scores, and try other thresholds")),
    );
  }

  function card(one) {
    const { event, picture, playable } = one;
    const node = el(
      "li",
      { class: "card event", dataset: { id: event.id } },
      el("div", { class: "picture-box" }, snapshot(event, picture)),
      el(
        "div",
        { class: "body" },
        el(
          "div",
          { class: "row spread" },
          el("h3", {}, event.label),
          event.type === "end" ? null : el("span", { class: "pill" }, "Active"),
        ),
        el(
          "p",
          { class: "muted small" },
          timeOf(event.started_at, "clock"),
          ` · ${placeOf(event)} · ${lengthOf(event)}`,
        ),
        el("p", { class: "muted small" }, `peak score ${event.peak_score.toFixed(2)}${endOf(event)}`),
        playable &&
          el(
            "button",
            {
              type: "button",
              class: "button",
              onclick: () => play(one),
              "aria-label": `Play ${event.label} of ${event.camera}`,
            },
            "Play",
          ),
      ),
    );
    cards.set(event.id, node);
    return node;
  }

  function play({ event }) {
    const close = el("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Close");
    fillWith(
      dialog,
      el("video", {
        src: recording(event.camera, event.clip),
        controls: true,
        autoplay: true,
        muted: true,
        playsinline: true,
      }),
      el(
        "div",
        { class: "body stack dialog-text" },
        el("div", { class: "row spread" }, el("h2", {}, event.label), close),
        facts([
          ["Camera", event.camera],
          ["Zone", event.zone],
          ["Began", timeOf(event.started_at)],
          ["Length", lengthOf(event)],
          ["Peak score", event.peak_score.toFixed(2)],
          ["Model", `${event.model.id}, ${event.model.precision}`],
        ]),
      ),
    );
    dialog.showModal();
  }

  function take(event) {
    if ((filter.camera && event.camera !== filter.camera) || (filter.label && event.label !== filter.label)) return;
    const known = actions.get(event.id);
    const { record } = store.state;
    actions.set(event.id, {
      event,
      picture: known?.picture || Boolean(event.snapshot && record.folder),
      playable: known?.playable || Boolean(event.type === "end" && event.clip && record.folder),
    });
    if (known && cards.has(event.id)) {
      const before = cards.get(event.id);
      const focused = before.contains(document.activeElement);
      const now = card(actions.get(event.id));
      before.replaceWith(now);
      if (focused) now.querySelector("button")?.focus();
      strip.show(sorted().map((one) => one.event));
    } else if (list.contains(document.activeElement) || scrollY > 200) {
      announce();
    } else {
      draw();
    }
  }

  const fresh = el("button", { type: "button", class: "button first fresh", onclick: showFresh, hidden: true });
  view.append(fresh);

  function announce() {
    const count = [...actions.keys()].filter((id) => !cards.has(id)).length;
    setText(fresh, `${count} new`);
    fresh.hidden = false;
  }

  function showFresh() {
    fresh.hidden = true;
    scrollTo(0, 0);
    draw();
  }

  on("event", take, signal);
  on("resync", load, signal);
  on(
    "state",
    () => {
      camera.refresh();
      label.refresh();
    },
    signal,
  );
  signal.addEventListener("abort", () => loading.abort(), { once: true });
  load();
  return {
    update({ query }) {
      filter = { camera: query.camera ?? "", label: query.label ?? "" };
      camera.refresh();
      label.refresh();
      load();
    },
  };
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

function recording(camera, of) {
  return path("api", "recording", camera, of.slice(of.indexOf("/") + 1));
}

function snapshot(event, present) {
  if (!present || !event.snapshot) return el("div", { class: "over small" }, "No picture");
  const image = el("img", {
    src: recording(event.camera, event.snapshot),
    alt: `Snapshot of ${event.label}`,
    loading: "lazy",
  });
  image.addEventListener("error", () => image.replaceWith(el("div", { class: "over small" }, "Deleted to make room")), {
    once: true,
  });
  return image;
}

function placeOf({ camera, zone }) {
  return zone ? `${camera}, ${zone}` : camera;
}

function lengthOf(event) {
  if (!event.ended_at) return "still active";
  return length((Date.parse(event.ended_at) - Date.parse(event.started_at)) / 1000);
}

function endOf({ reason }) {
  return reason && reason !== "below_threshold" ? ` · ended because ${REASONS[reason] ?? reason}` : "";
}
