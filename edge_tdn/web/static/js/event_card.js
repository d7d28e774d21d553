// One action in the list of events, and the dialog that plays its clip.
import { path } from "./api.js";
import { el, fillWith } from "./dom.js";
import { facts } from "./parts.js";
import { labelRow } from "./teach/label_event.js";
import { length, timeOf } from "./time.js";

const REASONS = {
  superseded: "another action took its place",
  max_length: "it reached its maximum length",
  video_ended: "the video file was over, or began again",
  stream_lost: "the camera's stream was lost",
  disabled: "the camera was switched off",
  shutdown: "the daemon stopped, or its configuration changed",
  interrupted: "the daemon was interrupted",
  failed: "the network failed",
};

/** Return the card of {event, picture, playable, labelable}. `before`: its card until now, whose picture is kept. */
export function eventCard(action, onplay, before = null) {
  const { event, playable } = action;
  const picture = el("div", { class: "picture-box" }, snapshot(action, before));
  if (playable) {
    const button = el("button", { type: "button", class: "button play", onclick: () => onplay(event) }, "Play");
    button.setAttribute("aria-label", `Play ${event.label} of ${placeOf(event)}, ${lengthText(event)}`);
    picture.append(button);
  }
  return el(
    "li",
    { class: "card event", dataset: { id: event.id } },
    picture,
    el(
      "div",
      { class: "body" },
      el(
        "div",
        { class: "row spread" },
        el("h3", {}, event.label),
        event.type === "end" ? null : el("span", { class: "pill" }, "Active"),
      ),
      el("p", { class: "muted small" }, timeOf(event.started_at, "clock"), ` · ${placeOf(event)}`),
      el("p", { class: "muted small" }, `${lengthText(event)} · peak ${peakOf(event)}${reasonOf(event)}`),
      labelRow(action),
    ),
  );
}

/** Return the dialog that plays clips: {node, play(event)}. `onclose(id)`: called with the id of the action. */
export function clipDialog(onclose) {
  let played = null;
  const node = el("dialog", { "aria-label": "Clip of an action" });
  node.addEventListener("close", () => {
    node.replaceChildren(); // ends the download
    onclose(played);
  });
  node.addEventListener("click", ({ target }) => target === node && node.close()); // beside it

  function play(event) {
    played = event.id;
    const close = el("button", { type: "button", class: "button", onclick: () => node.close() }, "Close");
    const video = el("video", { controls: true, autoplay: true, playsinline: true, src: recording(event, event.clip) });
    video.muted = true;
    video.addEventListener("error", () => video.replaceWith(el("p", { class: "note" }, "The clip cannot be played.")));
    fillWith(
      node,
      video,
      el(
        "div",
        { class: "body stack" },
        el("div", { class: "row spread" }, el("h2", {}, event.label), close),
        facts([
          ["Camera", event.camera],
          ["Zone", event.zone],
          ["Began", timeOf(event.started_at)],
          ["Length", lengthText(event)],
          ["Peak score", peakOf(event)],
          ["Model", `${event.model.id}, ${event.model.precision}`],
        ]),
      ),
    );
    node.showModal();
  }
  return { node, play };
}

function snapshot({ event, picture }, before) {
  if (!picture) return el("div", { class: "over small" }, event.type === "end" ? "No picture" : "");
  const source = recording(event, event.snapshot);
  const known = before?.querySelector("img");
  if (known?.getAttribute("src") === source) return known;
  const image = el("img", { src: source, alt: `Snapshot of ${event.label}`, loading: "lazy" });
  const gone = () => image.replaceWith(el("div", { class: "over small" }, "Deleted to make room"));
  image.addEventListener("error", gone, { once: true });
  return image;
}

function recording({ camera }, name) {
  return path("api", "recording", camera, name.slice(name.indexOf("/") + 1));
}

function placeOf({ camera, zone }) {
  return zone ? `${camera}, ${zone}` : camera;
}

function lengthText({ started_at: from, ended_at: to }) {
  return to ? length((Date.parse(to) - Date.parse(from)) / 1000) : "still active";
}

function peakOf({ peak_score: peak }) {
  return peak.toFixed(2);
}

function reasonOf({ reason }) {
  return reason && reason !== "below_threshold" ? ` · ended because ${REASONS[reason] ?? reason}` : "";
}
