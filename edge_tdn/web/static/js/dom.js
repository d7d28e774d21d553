// Elements. Text of the daemon reaches the page only as text nodes and attribute values, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "open"]);

/**
 * Make an element: el("button", {class: "quiet", onclick: save}, "Save").
 *
 * Attributes that are null, undefined or false are left out, true is an empty attribute, `on...` is a listener,
 * `dataset` an object. Children that are null, undefined or false are left out; strings and numbers become text.
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of an SVG drawing, as `el` does. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "dataset") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name) && name in node) node[name] = value ?? "";
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...present(children));
  return node;
}

function present(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** Put these children into a node, in place of those it has. */
export function fillWith(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

/** Set the text of a node. A text that is the same is not announced again. */
export function setText(node, text) {
  const value = String(text);
  if (node.textContent !== value) node.textContent = value;
  return node;
}

/** Set a class of a node, or take it away. */
export function setClass(node, name, on) {
  node.classList.toggle(name, Boolean(on));
  return node;
}

/** Return an id that no other element of the page has, to join a control and its label or hint. */
export function newId(of = "part") {
  counter += 1;
  return `${of}-${counter}`;
}
let counter = 0;

/** Call `work` every `seconds` until the signal is aborted, and not while the page is hidden. */
export function every(seconds, work, signal) {
  const timer = setInterval(() => document.hidden || work(), seconds * 1000);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** Wait, or end early if the signal is aborted. */
export function wait(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
