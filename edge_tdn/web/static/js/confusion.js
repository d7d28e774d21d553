// A confusion matrix as a table: a row for what a clip shows, a column for what the model named.
import { el } from "./dom.js";

/** Return the table. `labels`: of rows and columns; `matrix`: counts, a row for each true class. */
export function confusionTable(labels, matrix) {
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, el("span", { class: "reader" }, "The clip shows")),
    labels.map((label) => el("th", { scope: "col" }, el("span", {}, label))),
    el("th", { scope: "col" }, el("span", {}, "Right")),
  );
  const rows = matrix.map((row, at) => {
    const all = row.reduce((sum, one) => sum + one, 0);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, labels[at]),
      row.map((number, column) => cell(number, all, at === column)),
      el("td", { class: "number" }, all ? `${Math.round((100 * row[at]) / all)} %` : "-"),
    );
  });
  return el(
    "div",
    { class: "confusion-box", tabindex: "0", role: "group", "aria-label": "Which classes are confused" },
    el("p", { class: "muted small" }, "Row: what the clip shows. Column: what the model named."),
    el("table", { class: "confusion" }, el("thead", {}, head), el("tbody", {}, rows)),
  );
}

function cell(number, all, right) {
  const node = el("td", { class: right ? "right" : "wrong" }, number || el("span", { class: "muted" }, "0"));
  node.style.setProperty("--share", `${all ? Math.round((40 * number) / all) : 0}%`);
  return node;
}
