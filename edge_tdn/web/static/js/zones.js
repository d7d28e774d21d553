// Zones: their outlines over a picture, and the drawing of a new one, which gives its lines for the configuration.
import { get, path } from "./api.js";
import { el, fillWith, newId, setText, svg } from "./dom.js";
import { errorNote, isAbort, linesToCopy } from "./parts.js";
import { bounds, cornersOf, faultOf, insert, rectangle, share } from "./zone_shape.js";

const STEP = 0.01; // share of the picture by which an arrow key moves a corner
const MAX_CORNERS = 64;
const ASK_AFTER_MS = 250;
const FIRST = [
  [0.3, 0.3],
  [0.7, 0.3],
  [0.7, 0.7],
  [0.3, 0.7],
];
const SIDES = [
  ["left", 0, 0],
  ["top", 0, 1],
  ["right", 2, 0],
  ["bottom", 2, 1],
];

/** Return a drawing of the zones, for a picture of this size. `chosen`: the name of the zone that stands out. */
export function zoneOutlines(zones, size, chosen) {
  return svg(
    "svg",
    { class: "zones", viewBox: `0 0 ${size.width} ${size.height}`, "aria-hidden": "true" },
    zones.map((zone) => {
      const corners = cornersOf(zone);
      const [x, y] = corners.reduce((first, corner) => (corner[1] < first[1] ? corner : first));
      return svg(
        "g",
        { class: zone.zone === chosen ? "chosen" : null },
        svg("polygon", { points: pointsOf(corners, size), "vector-effect": "non-scaling-stroke" }),
        svg(
          "text",
          {
            x: x * size.width + size.width / 100,
            y: y * size.height + size.height / 22,
            "font-size": size.height / 26,
          },
          zone.zone,
        ),
      );
    }),
  );
}

function pointsOf(corners, size) {
  return corners.map(([x, y]) => `${x * size.width},${y * size.height}`).join(" ");
}

/**
 * Return the editor of a new zone. It draws into `box`, which shows a picture of this size {width, height}, until the
 * signal is aborted.
 *
 * A rectangle is drawn by dragging, or by its four sides as numbers; a polygon by a click for each corner. Corners can
 * be dragged, and moved by the arrow keys.
 */
export function zoneEditor(camera, box, size, signal) {
  let form = "rectangle";
  let corners = FIRST;
  let dragged = null; // number of a corner, or the first corner of a rectangle
  let asked = new AbortController();
  let timer = null;
  const shape = svg("polygon", { "vector-effect": "non-scaling-stroke" });
  const handles = svg("g");
  const drawing = svg(
    "svg",
    {
      class: "zones drawing",
      viewBox: `0 0 ${size.width} ${size.height}`,
      role: "group",
      "aria-label": "The new zone",
    },
    shape,
    handles,
  );
  const name = el("input", { type: "text", id: newId("zone"), value: freeName(camera), maxlength: 64, oninput: ask });
  const sides = SIDES.map(([side]) => [
    side,
    el("input", { type: "number", id: newId(side), min: 0, max: 100, step: 1, onchange: takeSides }),
  ]);
  const fields = el(
    "div",
    { class: "sides" },
    sides.map(([side, input]) =>
      el(
        "div",
        { class: "field" },
        el("label", { for: input.id }, `${side[0].toUpperCase()}${side.slice(1)}, %`),
        input,
      ),
    ),
  );
  const buttons = el(
    "div",
    { class: "row", hidden: true },
    el("button", { type: "button", class: "button", onclick: addCorner }, "Add a corner"),
    el("button", { type: "button", class: "button", onclick: removeCorner }, "Remove the last"),
  );
  const hint = el("p", { class: "muted small" });
  const measured = el("p", { class: "small", role: "status" });
  const result = el("div", { class: "lines-of-zone" });
  const details = el(
    "details",
    { class: "card zone-editor", ontoggle: toggle },
    el("summary", {}, "Draw a zone"),
    el(
      "div",
      { class: "body stack" },
      el(
        "p",
        {},
        "A zone is a part of the picture with actions of its own. The page writes no file: copy the lines below.",
      ),
      el(
        "div",
        { class: "row" },
        el("div", { class: "field grow" }, el("label", { for: name.id }, "Name"), name),
        el(
          "fieldset",
          { class: "choice" },
          el("legend", {}, "Shape"),
          ["rectangle", "polygon"].map((value) =>
            el(
              "label",
              {},
              el("input", { type: "radio", name: newId("shape-of"), value, checked: value === form, onchange: choose }),
              el("span", {}, value === "rectangle" ? "Rectangle" : "Polygon"),
            ),
          ),
        ),
      ),
      hint,
      fields,
      buttons,
      measured,
      result,
    ),
  );
  const radios = [...details.querySelectorAll("input[type=radio]")];
  for (const radio of radios) radio.name = radios[0].name;

  drawing.addEventListener("pointerdown", press, { signal });
  drawing.addEventListener("pointermove", drag, { signal });
  drawing.addEventListener("pointerup", release, { signal });
  drawing.addEventListener("pointercancel", release, { signal });
  signal.addEventListener(
    "abort",
    () => {
      drawing.remove();
      asked.abort();
      clearTimeout(timer);
    },
    { once: true },
  );

  function toggle() {
    if (!details.open) {
      drawing.remove();
      return;
    }
    box.append(drawing);
    draw();
    ask();
  }

  function choose(event) {
    form = event.target.value;
    if (form === "rectangle") corners = rectangle(...bounds(corners));
    fields.hidden = form !== "rectangle";
    buttons.hidden = form === "rectangle";
    draw();
    ask();
  }

  function press(event) {
    event.preventDefault();
    drawing.setPointerCapture(event.pointerId);
    const handle = event.target.closest("[data-corner]");
    const at = place(event);
    if (handle) {
      dragged = { corner: Number(handle.dataset.corner) };
      handle.focus();
    } else if (form === "rectangle") {
      dragged = { from: at };
    } else if (corners.length < MAX_CORNERS) {
      corners = insert(corners, at);
      dragged = { corner: corners.indexOf(at) };
      draw();
    }
  }

  function drag(event) {
    if (!dragged) return;
    const at = place(event);
    if (dragged.from) corners = rectangle(...bounds([dragged.from, at]));
    else moveCorner(dragged.corner, at);
    draw();
  }

  function release() {
    if (dragged) ask();
    dragged = null;
  }

  function place(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
    return [share(at.x / size.width), share(at.y / size.height)];
  }

  function moveCorner(number, at) {
    if (form === "polygon") {
      corners = corners.map((corner, index) => (index === number ? at : corner));
      return;
    }
    const opposite = corners[(number + 2) % 4];
    corners = rectangle(...bounds([opposite, at]));
  }

  function onKey(event, number) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const [x, y] = corners[number];
    moveCorner(number, [share(x + way[0] * STEP), share(y + way[1] * STEP)]);
    draw();
    handles.children[number]?.focus();
    ask();
  }

  function takeSides() {
    const [left, top, right, bottom] = sides.map(([, input]) => share(Number(input.value) / 100));
    corners = rectangle(Math.min(left, right), Math.min(top, bottom), Math.max(left, right), Math.max(top, bottom));
    draw();
    ask();
  }

  function addCorner() {
    if (corners.length === MAX_CORNERS) return;
    const [one, other] = [corners.at(-1), corners[0]];
    corners = [...corners, [share((one[0] + other[0]) / 2), share((one[1] + other[1]) / 2)]];
    draw();
    handles.lastElementChild.focus();
    ask();
  }

  function removeCorner() {
    if (corners.length > 3) corners = corners.slice(0, -1);
    draw();
    ask();
  }

  function draw() {
    shape.setAttribute("points", pointsOf(corners, size));
    const radius = size.height / 60;
    while (handles.children.length > corners.length) handles.lastElementChild.remove();
    while (handles.children.length < corners.length) {
      const number = handles.children.length;
      const handle = svg("circle", { r: radius, tabindex: 0, role: "button", "data-corner": number });
      handle.addEventListener("keydown", (event) => onKey(event, number));
      handles.append(handle);
    }
    corners.forEach(([x, y], number) => {
      const handle = handles.children[number];
      handle.setAttribute("cx", x * size.width);
      handle.setAttribute("cy", y * size.height);
      handle.setAttribute(
        "aria-label",
        `Corner ${number + 1}, ${percent(x)} % from the left, ${percent(y)} % from the top; arrow keys move it`,
      );
    });
    for (const [index, [, corner, axis]] of SIDES.entries()) {
      if (form === "rectangle") sides[index][1].value = percent(corners[corner][axis]);
    }
    setText(
      hint,
      form === "rectangle"
        ? "Drag over the picture, or set the four sides."
        : "Click into the picture for each corner; drag corners, or move them with the arrow keys.",
    );
  }

  function ask() {
    clearTimeout(timer);
    timer = setTimeout(load, ASK_AFTER_MS);
  }

  async function load() {
    asked.abort();
    asked = new AbortController();
    const query = { name: name.value.trim() };
    const fault = faultOf(query.name, corners);
    if (fault) {
      setText(measured, "");
      fillWith(result, el("p", { class: "note warn", role: "alert" }, fault));
      return;
    }
    if (form === "rectangle") {
      const [left, top, right, bottom] = bounds(corners);
      query.region = [left, top, right - left, bottom - top].map(rounded).join(",");
    } else {
      query.polygon = corners.map((corner) => corner.map(rounded).join(",")).join(";");
    }
    try {
      const found = await get(path("api", "camera", camera.name, "zone-lines"), query, asked.signal);
      setText(measured, found.too_small || `${found.pixels[0]}x${found.pixels[1]} pixels of the picture.`);
      measured.classList.toggle("warn", Boolean(found.too_small));
      fillWith(result, linesToCopy(found.toml, "Lines of the zone for the configuration"));
    } catch (error) {
      if (isAbort(error)) return;
      setText(measured, "");
      fillWith(result, errorNote(error));
    }
  }
  return details;
}

function freeName(camera) {
  const taken = new Set(camera.zones.map(({ zone }) => zone));
  for (let number = 1; ; number += 1) {
    if (!taken.has(`zone-${number}`)) return `zone-${number}`;
  }
}

function percent(value) {
  return Math.round(100 * value);
}

function rounded(value) {
  return Number(value.toFixed(4));
}
