// Clips: what is still missing, the classes with their recordings, and a dialog to look through the clips one by one.
import { get, path, post } from "../api.js";
import { el, fillWith, newId, setText } from "../dom.js";
import { emptyNote, facts, stateMark, textOf } from "../parts.js";
import { link } from "../router.js";
import { clock, day, length, timeOf } from "../time.js";
import { ask, attempt, count, numbered, options, size } from "./parts.js";

/** Return the section: {node, show(overview)}. `changed()`: called when a clip was moved or discarded. */
export function clipsSection(signal, changed) {
  const mark = el("span", { class: "step-mark" });
  const missing = el("ul", { class: "missing" });
  const list = el("div", { class: "classes" });
  const foot = el("div", { class: "row" });
  const viewer = clipViewer(signal, changed);
  const shown = new Map(); // label -> {node, refresh(class)}
  const node = numbered(2, "Clips", mark, missing, list, foot, viewer.node);

  function show({ classes, missing: lacks, archive_bytes: bytes }) {
    viewer.classes(classes.map(({ label }) => label));
    fillWith(mark, classes.length > 0 && state(lacks));
    fillWith(missing, classes.length > 0 && lacks.map(({ text }) => el("li", {}, text)));
    missing.hidden = !missing.children.length;
    for (const label of shown.keys()) {
      if (!classes.some((one) => one.label === label)) shown.delete(label);
    }
    const nodes = classes.map((one) => {
      if (!shown.has(one.label)) shown.set(one.label, classOfClips(one.label, viewer, signal));
      const part = shown.get(one.label);
      part.refresh(one);
      return part.node;
    });
    if (!nodes.length)
      nodes.push(
        emptyNote(
          "No clips yet.",
          el(
            "p",
            {},
            "Record ten of an action and a minute of background, or label what was recognised: ",
            el("a", { href: link("events") }, "Events"),
          ),
        ),
      );
    if (nodes.length !== list.children.length || nodes.some((one, at) => one !== list.children[at])) {
      fillWith(list, nodes);
    }
    fillWith(
      foot,
      bytes > 0 &&
        el(
          "a",
          { class: "button", href: "/api/teach/archive", download: "clips.tar" },
          `Download all (${size(bytes)})`,
        ),
    );
    foot.hidden = !bytes;
  }
  return { node, show };
}

function state(lacks) {
  if (!lacks.length) return stateMark("good", "Complete");
  return stateMark("warn", lacks.some(({ code }) => code.startsWith("no_")) ? "Not enough yet" : "More would help");
}

/** A class: its figures, and when it is opened, its clips by recording. */
function classOfClips(label, viewer, signal) {
  let figures = null; // as the clips were loaded
  const numbers = el("span", { class: "muted small" });
  const name = el("strong", {}, label);
  const tag = el("span", { class: "pill none", hidden: true }, "background");
  const clips = el("div", { class: "stack" });
  const error = attempt(textOf);
  const node = el("details", { class: "class" }, el("summary", {}, name, tag, numbers), clips, error.node);
  node.addEventListener("toggle", () => node.open && load());

  async function load() {
    await error.run(async () => {
      const found = await get("/api/teach/clips", { label }, signal);
      draw(found.clips);
    });
  }

  function draw(found) {
    const focused = clips.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    const recordings = [...Map.groupBy(found, ({ recording }) => recording).values()].map((own) => own.toReversed());
    const ordered = recordings.flat(); // as they are shown
    fillWith(
      clips,
      recordings.map((own) =>
        el(
          "div",
          { class: "recording-of" },
          el("h3", { class: "small muted" }, titleOf(own)),
          el(
            "ul",
            { class: "chips" },
            own.map((clip) => el("li", {}, chip(clip, ordered))),
          ),
        ),
      ),
    );
    if (focused) clips.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
  }

  function chip(clip, ordered) {
    return el(
      "button",
      {
        type: "button",
        class: "chip",
        dataset: { name: clip.name },
        title: "Play, move or discard",
        "aria-label": `Clip of ${clip.label}, ${clock(clip.at)}, ${length(clip.seconds)}`,
        onclick: () => viewer.open(clip, ordered),
      },
      clock(clip.at),
      el("span", { class: "muted" }, length(clip.seconds)),
    );
  }

  function refresh(one) {
    setText(numbers, `${count(one.clips, "clip")} · ${count(one.recordings, "recording")}`);
    tag.hidden = !one.background || label === "background";
    const now = JSON.stringify(one);
    if (node.open && now !== figures) load();
    figures = now;
  }
  return { node, refresh };
}

function titleOf(clips) {
  const first = clips[0].at;
  return `${day(first)}, ${clock(first).slice(0, 5)} · ${count(clips.length, "clip")}`;
}

/** The dialog in which clips are looked through, moved and discarded: {node, open(clip, clips), classes(labels)}. */
function clipViewer(signal, changed) {
  let labels = [];
  let clips = [];
  let at = 0;
  const id = newId("clip");
  const title = el("h2", { id });
  const place = el("p", { class: "muted small" });
  const screen = el("div", { class: "clip-screen" });
  const about = el("div", {});
  const target = el("select", { "aria-label": "Move this clip to", onchange: move });
  const before = step(-1, "Previous");
  const after = step(1, "Next");
  const error = attempt(textOf);
  const close = el("button", { type: "button", class: "button", onclick: () => node.close() }, "Close");
  const discard = el("button", { type: "button", class: "button", onclick: drop }, "Discard");
  const node = el(
    "dialog",
    { class: "clip-viewer", "aria-labelledby": id },
    screen,
    el(
      "div",
      { class: "body stack" },
      el("div", { class: "row spread" }, el("div", {}, title, place), close),
      about,
      error.node,
      el(
        "div",
        { class: "row spread" },
        el("div", { class: "row" }, before, after),
        el("div", { class: "row" }, target, discard),
      ),
    ),
  );
  node.addEventListener("close", () => fillWith(screen)); // ends the download
  node.addEventListener("click", (event) => event.target === node && node.close());

  function step(by, text) {
    return el("button", { type: "button", class: "button", onclick: () => show(at + by) }, text);
  }

  function show(to) {
    at = to;
    const clip = clips[at];
    const video = el("video", { controls: true, autoplay: true, loop: true, playsinline: true, "aria-label": "Clip" });
    video.muted = true;
    video.src = path("api", "clip", clip.label, clip.name);
    const gone = () => video.replaceWith(el("p", { class: "note" }, "The clip cannot be played."));
    video.addEventListener("error", () => video.isConnected && gone());
    fillWith(screen, video);
    setText(title, clip.label);
    setText(place, `Clip ${at + 1} of ${clips.length}`);
    fillWith(
      about,
      facts([
        ["Recorded", timeOf(clip.at)],
        ["Length", `${length(clip.seconds)}, ${size(clip.bytes)}`],
      ]),
    );
    offer();
    before.disabled = at === 0;
    after.disabled = at === clips.length - 1;
    error.node.hidden = true;
  }

  /** Offer the other classes. */
  function offer() {
    const others = labels.filter((label) => label !== clips[at].label);
    options(target, [["", "Move to ..."], ...others.map((label) => [label, label])], "");
    target.disabled = !others.length;
  }

  async function move() {
    if (target.value) await put(target.value);
  }

  async function drop() {
    const kept = "It is moved to the folder discarded, from which a person with access to the host can bring it back.";
    if (await ask("Discard this clip?", [el("p", { class: "muted" }, kept)], "Discard")) await put(null);
  }

  async function put(label) {
    const { label: from, name } = clips[at];
    const moved = await error.run(() => post(path("api", "clip", from, name, "move"), { label }, signal));
    if (!moved) {
      target.value = "";
      return;
    }
    changed();
    clips = clips.filter((_, number) => number !== at);
    if (clips.length) show(Math.min(at, clips.length - 1));
    else node.close();
  }

  return {
    node,
    classes(now) {
      if (JSON.stringify(now) === JSON.stringify(labels)) return;
      labels = now;
      if (node.open) offer();
    },
    open(clip, found) {
      clips = found;
      node.showModal();
      show(clips.indexOf(clip));
    },
  };
}
