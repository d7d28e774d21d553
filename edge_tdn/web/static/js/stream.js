// The one event stream of the page: notes into the store, and what is done when the daemon does not answer.
//
// An EventSource reconnects by itself while it is CONNECTING, and sends the id of the last note. After an answer other
// than 200 it is CLOSED for good; then, and after silence, GET /api/state is asked every 2 s until it answers.
import { get } from "./api.js";
import { emit, store } from "./store.js";

const SILENCE_MS = 4500; // the daemon sends at least a ping every 2 s
const RETRY_MS = 2000;
const FIRST_MS = 15_000; // for the first state: none is shown instead, and a person would have to ask again
const HIDDEN_MS = 10_000; // a tab that is hidden this long closes its stream
const CLOSED = 2;

let source = null;
let lastNote = 0; // performance.now() of it
let watch = null; // timers
let retry = null;
let hide = null;
let running = false;

/** Load the state and keep it up to date from now on, until `stop`. ApiError if the state cannot be loaded. */
export async function start() {
  running = true;
  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("pageshow", onPageShow);
  await refresh(FIRST_MS);
  open();
}

/** Close the stream: the session has ended. */
export function stop() {
  running = false;
  close();
  clearTimeout(retry);
  clearTimeout(hide);
  document.removeEventListener("visibilitychange", onVisibility);
  removeEventListener("pageshow", onPageShow);
}

async function refresh(withinMs = 2 * RETRY_MS) {
  const before = store.state;
  const state = await get("/api/state", {}, AbortSignal.timeout(withinMs));
  if (before && before.host.version !== state.host.version) location.reload(); // this page belongs to another version
  emit("state", state);
}

function open() {
  if (!running || source) return;
  greeted = false;
  source = new EventSource("/api/stream");
  source.addEventListener("error", onError);
  source.addEventListener("hello", (note) => onHello(JSON.parse(note.data)));
  source.addEventListener("resync", () => reload());
  source.addEventListener("scores", (note) => {
    for (const clip of take(note).clips) emit("scores", clip);
  });
  for (const kind of ["action", "event", "camera", "host", "record", "finetune", "trial"]) {
    source.addEventListener(kind, (note) => emit(kind, take(note)));
  }
  source.addEventListener("ping", take);
  lastNote = performance.now();
  clearInterval(watch);
  watch = setInterval(check, 500);
}

function close() {
  source?.close();
  source = null;
  clearInterval(watch);
}

function take(note) {
  lastNote = performance.now();
  connection("live");
  return JSON.parse(note.data);
}

let greeted = false; // this stream has begun
let followed = false; // one has: what the store has may be older than this stream

function onHello({ boot }) {
  lastNote = performance.now();
  connection("live");
  if (followed || boot !== store.state?.boot) reload();
  greeted = true;
  followed = true;
}

async function reload() {
  try {
    await refresh();
    emit("resync", {});
  } catch {
    // The watch notices it when the stream ends, too.
  }
}

function onError() {
  if (!running) return;
  const refused = source.readyState === CLOSED && !greeted; // although GET /api/state was answered just before
  connection(refused ? "full" : "gone");
  if (source.readyState === CLOSED) askAgain();
}

function check() {
  if (performance.now() - lastNote < SILENCE_MS) return;
  connection("gone");
  if (performance.now() - lastNote > 2 * SILENCE_MS) askAgain(); // also where a reconnect gets no answer at all
}

function askAgain() {
  close();
  clearTimeout(retry);
  retry = setTimeout(resume, RETRY_MS);
}

async function resume() {
  if (!running || document.hidden) return; // a tab that is shown again resumes
  try {
    await refresh();
    open();
  } catch (error) {
    if (error.status === 401) return;
    connection("gone");
    askAgain();
  }
}

function onVisibility() {
  clearTimeout(hide);
  if (document.hidden) {
    hide = setTimeout(pause, HIDDEN_MS);
  } else if (!source) {
    clearTimeout(retry);
    resume();
  }
}

function onPageShow(event) {
  if (event.persisted) {
    close();
    resume();
  }
}

function pause() {
  close();
  connection("paused");
}

function connection(now) {
  if (store.connection !== now) emit("connection", now);
}
