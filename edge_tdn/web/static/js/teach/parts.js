// Parts of the Teach view: a numbered section, a bar of progress, where a camera and zone are chosen, a question.
import { el, fillWith, newId, setText } from "../dom.js";
import { cameraOf, store } from "../store.js";

/** Return a section of the view with its number; `mark`: an element beside its heading. */
export function numbered(number, title, mark, ...content) {
  const id = newId("step");
  return el(
    "section",
    { class: "card body stack step", "aria-labelledby": id },
    el(
      "div",
      { class: "step-head" },
      el("span", { class: "step-number", "aria-hidden": "true" }, number),
      el("h2", { id }, title),
      mark,
    ),
    ...content,
  );
}

/** Return a labelled control. */
export function field(text, control, hint = null) {
  const id = newId("field");
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return el(
    "div",
    { class: "field" },
    el("label", { for: id }, text),
    control,
    hint && el("p", { class: "hint", id: `${id}-hint` }, hint),
  );
}

/** Return a bar: {node, set(share, text)}; `share`: 0 to 1, null: unknown. */
export function progressBar(label) {
  const filled = el("span", {});
  const node = el("div", { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": "0" }, filled);
  node.setAttribute("aria-valuemax", "100");

  function set(share, text = "") {
    node.classList.toggle("unknown", share === null);
    filled.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share ?? 1)) * 10) / 10}%`;
    if (share === null) node.removeAttribute("aria-valuenow");
    else node.setAttribute("aria-valuenow", Math.round(100 * share));
    if (text) node.setAttribute("aria-valuetext", text);
  }
  return { node, set };
}

/** Return the choice of a camera and, if it has zones, of one: {nodes, camera, zone, choose, refresh}. */
export function placeChoice(onchange) {
  const camera = el("select", { onchange: () => changed() });
  const zone = el("select", { onchange: () => onchange() });
  const zoneField = field("Zone", zone);
  const nodes = [field("Camera", camera), zoneField];

  function changed() {
    fillZones(null);
    onchange();
  }

  function fillZones(chosen) {
    const names = (cameraOf(camera.value)?.zones ?? []).map((one) => one.zone).filter((name) => name !== null);
    options(
      zone,
      names.map((name) => [name, name]),
      chosen,
    );
    zoneField.hidden = !names.length;
  }

  function choose(name, of) {
    camera.value = name;
    fillZones(of);
  }

  function refresh() {
    const names = store.state.cameras.map(({ name }) => name);
    const chosen = zone.value;
    options(
      camera,
      names.map((name) => [name, name]),
      camera.value,
    );
    fillZones(chosen);
  }
  refresh();
  return {
    nodes,
    choose,
    refresh,
    get camera() {
      return camera.value;
    },
    get zone() {
      return zone.value || null;
    },
  };
}

/** Put options [value, text] into a <select>, and choose one of them, or the first. */
export function options(select, pairs, chosen) {
  const value = pairs.some(([one]) => one === chosen) ? chosen : pairs[0]?.[0];
  const known = [...select.options].map((one) => [one.value, one.textContent]);
  if (JSON.stringify(known) !== JSON.stringify(pairs)) {
    fillWith(
      select,
      pairs.map(([one, text]) => el("option", { value: one }, text)),
    );
  }
  if (value !== undefined) select.value = value;
}

/** Ask a question in a dialog; `content`: nodes. Return a promise of true if `yes` was pressed. */
export function ask(question, content, yes) {
  return new Promise((resolve) => {
    const id = newId("question");
    const close = (value) => node.close(value);
    const node = el(
      "dialog",
      { class: "question", "aria-labelledby": id },
      el(
        "div",
        { class: "body stack" },
        el("h2", { id }, question),
        ...content,
        el(
          "div",
          { class: "row foot-end" },
          el("button", { type: "button", class: "button", onclick: () => close("") }, "Cancel"),
          el("button", { type: "button", class: "button first", onclick: () => close("yes") }, yes),
        ),
      ),
    );
    node.addEventListener("close", () => {
      node.remove();
      resolve(node.returnValue === "yes");
    });
    document.getElementById("view").append(node);
    node.showModal();
  });
}

/** Return a node for the error of a request: {node, run(work)}; `run` shows why `work` failed, or nothing. */
export function attempt(textOf) {
  const node = el("p", { class: "note bad", role: "alert", hidden: true });

  async function run(work) {
    let text = "";
    try {
      await work();
    } catch (error) {
      if (error?.name !== "AbortError") text = textOf(error);
    }
    setText(node, text);
    node.hidden = !text;
    return !text;
  }
  return { node, run };
}

/** Return `1 clip`, `2 clips`. */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** Return a size in words: `4 kB`, `12 MB`, `1.2 GB`. */
export function size(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
