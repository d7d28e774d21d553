// Right, or wrong and what it was: below an event, so that its clip becomes one to learn from.
import { path, post } from "../api.js";
import { el, fillWith, newId, setText } from "../dom.js";
import { textOf } from "../parts.js";
import { link } from "../router.js";
import { store } from "../store.js";

const BACKGROUND = "background";
const labelled = new Map(); // id of an action -> the class that it was put into, as long as this page is open

/** Return the row of buttons of an action {event, labelable}, empty while its clip is written; null: it has no clip. */
export function labelRow({ event, labelable }) {
  if (!store.state?.teach || !event.clip) return null;
  const node = el("div", { class: "label-row" });
  if (labelled.has(event.id)) showDone();
  else if (labelable) showButtons();

  function showButtons(error = "") {
    fillWith(
      node,
      button("Right", () => put(event.label), `Right: it was ${event.label}`),
      button("Wrong ...", showWrong, `Wrong: ${event.label} was something else`),
      button("Background", () => put(BACKGROUND), "Background: nothing to report"),
      error && el("p", { class: "small bad-text", role: "alert" }, error),
    );
  }

  function button(text, onclick, label) {
    return el("button", { type: "button", class: "button quiet", onclick, "aria-label": label }, text);
  }

  function showWrong() {
    const id = newId("was");
    const list = `${id}-labels`;
    const input = el("input", { type: "text", id, list, required: true, maxlength: "100", autocomplete: "off" });
    const names = actions(event).map((one) => el("option", { value: one }));
    const form = el(
      "form",
      {
        class: "wrong",
        onsubmit: (submitted) => {
          submitted.preventDefault();
          put(input.value.trim());
        },
      },
      el("label", { for: id, class: "small muted" }, "It was"),
      input,
      el("datalist", { id: list }, names),
      el(
        "span",
        {},
        el("button", { type: "submit", class: "button" }, "Save"),
        el("button", { type: "button", class: "button quiet", onclick: cancel }, "Cancel"),
      ),
    );
    form.addEventListener("keydown", (pressed) => pressed.key === "Escape" && cancel());
    fillWith(node, form);
    input.focus();
  }

  function cancel() {
    showButtons();
    node.querySelectorAll("button")[1].focus();
  }

  async function put(label) {
    const note = el("p", { class: "small muted", role: "status", tabindex: "-1" }, "Cutting the clip");
    const focused = node.contains(document.activeElement);
    fillWith(node, note);
    if (focused) note.focus();
    try {
      const clip = await post(path("api", "camera", event.camera, "label"), { seq: event.seq, label });
      labelled.set(event.id, clip.label);
      showDone();
    } catch (error) {
      showButtons(textOf(error));
    }
    if (focused) node.querySelector("button, a")?.focus();
  }

  function showDone() {
    const status = el("p", { class: "small", role: "status" });
    fillWith(node, status);
    setText(status, `Saved to learn from: ${labelled.get(event.id)}. `);
    status.append(el("a", { href: link("teach") }, "Teach"));
  }
  return node;
}

function actions({ camera, label }) {
  const zones = store.state.cameras.find(({ name }) => name === camera)?.zones ?? [];
  return [...new Set(zones.flatMap((zone) => zone.actions))].filter((one) => one !== label).sort();
}
