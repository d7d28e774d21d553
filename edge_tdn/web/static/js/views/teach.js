// Teach: record clips, look through them, train a model, try it beside the one that serves, and take it over.
import { get } from "../api.js";
import { el, fillWith } from "../dom.js";
import { emptyNote, errorNote, isAbort, skeleton } from "../parts.js";
import { on, store } from "../store.js";
import { clipsSection } from "../teach/clips.js";
import { recordSection } from "../teach/record.js";
import { trainSection } from "../teach/train.js";
import { trialSection } from "../teach/trial.js";

const PAUSE_MS = 400; // several changes within it are one request

export function show(view, route, signal) {
  const content = el("div", { class: "teach" });
  const failed = el("div", {});
  view.append(
    el(
      "div",
      { class: "head teach-head" },
      el("h1", {}, "Teach"),
      el("p", { class: "muted" }, "Show the camera an action a few times, and a model learns to recognise it."),
    ),
    el("div", { class: "stack" }, failed, content),
  );
  if (!store.state.teach) {
    content.replaceWith(
      emptyNote("This daemon cannot teach.", el("p", {}, "Its log says why; edge-tdn record does it in a terminal.")),
    );
    return;
  }
  fillWith(content, skeleton("70vh"));
  let sections = null;
  let timer = null;
  let loading = new AbortController();

  async function load() {
    clearTimeout(timer);
    loading.abort();
    loading = new AbortController();
    try {
      const overview = await get("/api/teach", {}, AbortSignal.any([signal, loading.signal]));
      fillWith(failed);
      sections ??= build(overview);
      for (const section of sections) section.show(overview);
    } catch (error) {
      if (!isAbort(error)) fail(error);
    }
  }

  function fail(error) {
    if (!sections) fillWith(content);
    fillWith(failed, errorNote(error, load));
  }

  /** Load the overview soon: clips or models have changed. */
  function changed() {
    clearTimeout(timer);
    timer = setTimeout(load, PAUSE_MS);
  }

  function build(overview) {
    const made = [
      recordSection(overview, signal, changed),
      clipsSection(signal, changed),
      trainSection(signal, changed),
      trialSection(overview, signal, changed),
    ];
    const [record, clips, train, trial] = made.map(({ node }) => node);
    fillWith(
      content,
      el("div", { class: "stack teach-record" }, record),
      el("div", { class: "stack" }, clips, train, trial),
    );
    return made;
  }

  on("resync", load, signal);
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  load();
}
