// Times and lengths. Local time in the text, UTC in the title.
import { el } from "./dom.js";

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/** Return `14:03:22`, local time, of a Date, ISO text or milliseconds. */
export function clock(at) {
  return CLOCK.format(new Date(at));
}

/** Return `Today`, `Yesterday` or `Monday, 30 November`, local time. */
export function day(at) {
  const days = Math.round((midnight(Date.now()) - midnight(at)) / 86_400_000);
  if (days === 0) return "Today";
  return days === 1 ? "Yesterday" : DAY.format(new Date(at));
}

function midnight(at) {
  return new Date(at).setHours(0, 0, 0, 0);
}

/** Return the UTC form of a time: `2026-11-30 14:03:22.250 UTC`. */
export function utc(at) {
  return new Date(at).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** Return a <time> element: the clock if it is of today, else day and clock; `form`: "clock" is always the clock. */
export function timeOf(at, form = "auto") {
  const date = new Date(at);
  const text = form === "clock" || day(at) === "Today" ? clock(at) : DAY_AND_CLOCK.format(date);
  return el("time", { datetime: date.toISOString(), title: utc(at) }, text);
}

/** Return a length in words: `0.8 s`, `12 s`, `4 min 50 s`, `3 h 5 min`, `2 days 4 h`. */
export function length(seconds) {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86_400) return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  const days = Math.floor(whole / 86_400);
  return pair(days, days === 1 ? "day" : "days", Math.floor((whole % 86_400) / 3600), "h");
}

function pair(large, of, small, unit) {
  return small ? `${large} ${of} ${small} ${unit}` : `${large} ${of}`;
}
