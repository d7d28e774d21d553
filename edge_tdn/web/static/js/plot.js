// The plot of scores: one line an action, the thresholds dashed, the active actions as a band, and a table of the same.
import { el, fillWith, setClass, setText } from "./dom.js";
import { emptyNote } from "./parts.js";
import { SECONDS } from "./score_history.js";
import { clock } from "./time.js";
import { loadPlotLibrary } from "./vendor.js";

const COLOURS = 8; // --series-1 to --series-8
export const MAX_LINES = 8;
const DASHES = [[], [6, 4]];
const HEIGHT = 232;
const MIN_SECONDS = 60; // of the axis
const STEPS_MS = [20_000, 30_000, 60_000];
const MAX_STEPS = 4; // of the first steps, whose labels are longer
const BAND = 6; // pixels of CSS

/**
 * Draw the scores of a ScoreHistory into `box`, and their table into `table`.
 *
 * Return {draw, limits, choose, mark, sayEmpty}: `draw()` after a change of the history, at most once a frame;
 * `limits({enter, exit})` the dashed lines; `choose(action or null)` the line that stands out; `mark(spans)` the
 * actions, as [{label, from, to}] in milliseconds, `to` null while one is active. `onchoose(action)`: a row was
 * clicked.
 */
export async function scorePlot(box, table, history, signal, onchoose) {
  const uPlot = await loadPlotLibrary();
  const state = { chosen: null, limits: null, spans: [], shown: [], pending: false };
  let colours = readColours();
  let plot = null;
  let cursor = null; // index of the row below the pointer
  const rows = new Map();

  function make() {
    plot?.destroy();
    plot = null;
    if (!history.atMs.length) return;
    state.shown = history.strongest(MAX_LINES, state.chosen);
    fillWith(box);
    plot = new uPlot(options(), data(), box);
    fillTable();
  }

  function options() {
    return {
      width: Math.max(box.clientWidth, 120),
      height: HEIGHT,
      legend: { show: false },
      ms: 1,
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      padding: [BAND + 6, 18, 0, 0],
      scales: { x: { time: true, range: () => [newest() - shownMs(), newest()] }, y: { range: () => [0, 1] } },
      axes: [
        { ...axis(), size: 26, splits: steps, values: (_, at) => at.map(tick) },
        {
          ...axis(),
          size: 36,
          splits: () => [0, 0.25, 0.5, 0.75, 1],
          values: (_, at) => at.map((one) => one.toFixed(2)),
        },
      ],
      series: [
        {},
        ...state.shown.map((index) => ({
          label: history.actions[index],
          stroke: () => colours.series[index % COLOURS],
          width: 1.6,
          points: { show: false },
          dash: DASHES[Math.floor(index / COLOURS) % DASHES.length],
        })),
      ],
      hooks: { draw: [drawLimits, drawSpans], setCursor: [onCursor] },
    };
  }

  function axis() {
    return {
      stroke: () => colours.muted,
      font: colours.font,
      grid: { stroke: () => colours.line, width: 1 },
      ticks: { show: false },
    };
  }

  function newest() {
    return history.atMs.at(-1);
  }

  /** Return the length of the axis: what is there, at least a minute and at most five. */
  function shownMs() {
    return Math.min(Math.max(history.seconds, MIN_SECONDS), SECONDS) * 1000;
  }

  function stepMs() {
    return STEPS_MS.find((step) => shownMs() / step <= MAX_STEPS) ?? STEPS_MS.at(-1);
  }

  function steps(_, __, from, to) {
    const step = stepMs();
    const first = Math.ceil(from / step) * step;
    return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_unused, number) => first + number * step);
  }

  function tick(at) {
    return stepMs() < 60_000 ? clock(at) : clock(at).slice(0, 5);
  }

  function data() {
    return [history.atMs, ...state.shown.map((index) => history.scores[index])];
  }

  function emphasise() {
    state.shown.forEach((index, number) => {
      const other = state.chosen !== null && history.actions[index] !== state.chosen;
      plot.series[number + 1].alpha = other ? 0.3 : 1;
      plot.series[number + 1].width = other ? 1.2 : state.chosen === null ? 1.6 : 2.4;
    });
  }

  function drawLimits(u) {
    if (!state.limits) return;
    const { left, width } = u.bbox;
    for (const [at, word, baseline, shift, dash] of [
      [state.limits.enter, "starts at", "bottom", -2, [8, 4]],
      [state.limits.exit, "ends below", "top", 3, [2, 4]],
    ]) {
      const y = Math.round(u.valToPos(at, "y", true));
      u.ctx.save();
      u.ctx.strokeStyle = colours.text;
      u.ctx.lineWidth = devicePixelRatio;
      u.ctx.setLineDash(dash.map((pixels) => pixels * devicePixelRatio));
      u.ctx.beginPath();
      u.ctx.moveTo(left, y);
      u.ctx.lineTo(left + width, y);
      u.ctx.stroke();
      u.ctx.font = colours.canvasFont();
      u.ctx.fillStyle = colours.text;
      u.ctx.textAlign = "left";
      u.ctx.textBaseline = baseline;
      u.ctx.setLineDash([]);
      u.ctx.lineWidth = 4 * devicePixelRatio; // a halo, so that the text can be read over lines
      u.ctx.lineJoin = "round";
      u.ctx.strokeStyle = colours.surface;
      const label = [`${word} ${at.toFixed(2)}`, left + 4 * devicePixelRatio, y + shift * devicePixelRatio];
      u.ctx.strokeText(...label);
      u.ctx.fillText(...label);
      u.ctx.restore();
    }
  }

  function drawSpans(u) {
    const { left, top, width } = u.bbox;
    const height = BAND * devicePixelRatio;
    for (const { label, from, to } of state.spans) {
      const begin = Math.max(u.valToPos(from, "x", true), left);
      const end = Math.min(u.valToPos(to ?? newest(), "x", true), left + width);
      if (end < left || begin > left + width) continue;
      u.ctx.save();
      u.ctx.globalAlpha = state.chosen === null || state.chosen === label ? 1 : 0.3;
      u.ctx.fillStyle = colours.series[Math.max(history.actions.indexOf(label), 0) % COLOURS];
      u.ctx.fillRect(begin, top - height - 2 * devicePixelRatio, Math.max(end - begin, 2 * devicePixelRatio), height);
      u.ctx.restore();
    }
  }

  function onCursor(u) {
    cursor = u.cursor.left >= 0 ? u.cursor.idx : null;
    fillValues();
  }

  const when = el("th", { scope: "col", class: "number" }, "Now");

  function fillTable() {
    rows.clear();
    for (const index of state.shown) {
      const action = history.actions[index];
      const swatch = el("span", { class: "swatch" });
      swatch.style.background = `var(--series-${(index % COLOURS) + 1})`;
      const value = el("td", { class: "number" });
      const peak = el("td", { class: "number" });
      const button = el(
        "button",
        { type: "button", "aria-pressed": "false", onclick: () => onchoose(action) },
        swatch,
        action,
      );
      rows.set(index, {
        row: el("tr", {}, el("th", { scope: "row" }, button), value, peak),
        value,
        peak,
        button,
        action,
      });
    }
    fillWith(
      table,
      el("caption", { class: "reader" }, "Scores of the actions"),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, "Action"),
          when,
          el("th", { scope: "col", class: "number" }, "Highest"),
        ),
      ),
      el(
        "tbody",
        {},
        [...rows.values()].map(({ row }) => row),
      ),
    );
    fillValues();
  }

  function fillValues() {
    setText(when, cursor === null ? "Now" : clock(history.atMs[cursor]));
    for (const [index, { row, value, peak, button, action }] of rows) {
      setText(value, text(cursor === null ? history.newest(index) : history.scores[index][cursor]));
      setText(peak, text(history.highest[index]));
      setClass(row, "chosen", action === state.chosen);
      button.setAttribute("aria-pressed", String(action === state.chosen));
    }
  }

  function draw() {
    if (state.pending || signal.aborted) return;
    state.pending = true;
    requestAnimationFrame(() => {
      state.pending = false;
      if (signal.aborted) return;
      const now = history.strongest(MAX_LINES, state.chosen);
      if (!plot || now.some((index) => !state.shown.includes(index))) make();
      if (!plot) return;
      emphasise();
      plot.setData(data());
      fillValues();
    });
  }

  const sizes = new ResizeObserver(() => plot?.setSize({ width: Math.max(box.clientWidth, 120), height: HEIGHT }));
  sizes.observe(box);
  signal.addEventListener(
    "abort",
    () => {
      sizes.disconnect();
      plot?.destroy();
    },
    { once: true },
  );
  const repaint = () => {
    colours = readColours();
    draw();
  };
  document.addEventListener("themechange", repaint, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint, { signal });

  return {
    draw,
    limits(now) {
      state.limits = now;
      draw();
    },
    choose(action) {
      state.chosen = action;
      draw();
    },
    mark(spans) {
      state.spans = spans;
      draw();
    },
    sayEmpty(headline, ...next) {
      plot?.destroy();
      plot = null;
      fillWith(table);
      fillWith(box, emptyNote(headline, ...next));
    },
  };
}

function text(score) {
  return score === null || score === undefined ? "-" : score.toFixed(2);
}

/** Return the colours of the theme in force, as values that a canvas takes. */
function readColours() {
  const probe = document.body.appendChild(el("span", { hidden: true }));
  const of = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const family = getComputedStyle(document.body).fontFamily;
  const colours = {
    series: Array.from({ length: COLOURS }, (_, number) => of(`series-${number + 1}`)),
    surface: of("surface"),
    text: of("text"),
    muted: of("muted"),
    line: of("line"),
    font: `12px ${family}`,
    canvasFont: () => `${11 * devicePixelRatio}px ${family}`,
  };
  probe.remove();
  return colours;
}
