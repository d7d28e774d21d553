// The start: login, the view of the address, the banner.
//
// A view is a module with `show(view, route, signal)`, which fills the empty <main> and returns nothing or an object
// with `update(route)`, called when only the query of the address has changed. `signal` is aborted when the view is
// left: pass it to `on`, `get`, `addEventListener` and `every`, and nothing is left behind. Its h1 gets the focus.
import { logIn, mayHaveSession } from "./api.js";
import { setText } from "./dom.js";
import { errorNote, skeleton } from "./parts.js";
import { route } from "./router.js";
import { on, store } from "./store.js";
import * as stream from "./stream.js";
import { show as showLogin } from "./views/login.js";

const PAGES = {
  cameras: { title: "Cameras", nav: "cameras", load: () => import("./views/cameras.js") },
  camera: { title: "Camera", nav: "cameras", load: () => import("./views/camera.js") },
  events: { title: "Events", nav: "events", load: () => import("./views/events.js") },
  teach: { title: "Teach", nav: "teach", load: () => import("./views/teach.js") },
  host: { title: "Host", nav: "host", load: () => import("./views/host.js") },
};
const BANNERS = {
  gone: "The daemon does not answer. Trying again.",
  full: "Too many tabs show this page. Close one that is not needed.",
};

const view = document.getElementById("view");
const nav = document.getElementById("nav");
const banner = document.getElementById("banner");
const where = document.getElementById("where");

let shown = { place: null, leave: new AbortController(), update: null };
let loggedIn = false;

async function start() {
  on("login", askForLogin);
  on("connection", (connection) => {
    document.documentElement.dataset.connection = connection;
    setText(banner, BANNERS[connection] ?? "");
  });
  on("state", showHost);
  on("host", showHost);
  addEventListener("hashchange", () => (loggedIn || takeCode() ? showRoute() : null));
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the fragment is the address of a view
    view.focus();
  });
  if (takeCode()) return;
  if (mayHaveSession()) await enter();
  else askForLogin();
}

/** Log in by the one-time code of the address, if it has one, and take it out of the address and the history. */
function takeCode() {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return false;
  history.replaceState(null, "", "#/cameras");
  logIn({ code }).then(enter, (error) => (error.status === 401 && mayHaveSession() ? enter() : askForLogin(error)));
  return true;
}

async function enter() {
  clear().append(skeleton("60vh"));
  try {
    await stream.start();
  } catch (error) {
    if (error.status === 401) return;
    clear().append(errorNote(error, enter));
    return;
  }
  loggedIn = true;
  nav.hidden = false;
  await showRoute();
}

function askForLogin(error = null) {
  stream.stop();
  store.state = null;
  loggedIn = false;
  nav.hidden = true;
  setText(banner, "");
  setText(where, "");
  document.title = "Log in - edge-tdn";
  showLogin(clear(), enter, error);
}

async function showRoute() {
  const to = route();
  const page = PAGES[to.page];
  if (!page) {
    location.replace("#/cameras");
    return;
  }
  const place = JSON.stringify([to.page, to.parts]);
  if (place === shown.place && shown.update) {
    shown.update(to);
    return;
  }
  const { signal } = clear(place);
  mark(page, to);
  const module = await page.load();
  if (signal.aborted) return;
  const handle = await module.show(view, to, signal);
  if (signal.aborted) return;
  shown.update = handle?.update?.bind(handle) ?? null;
  focusHeading();
}

function mark(page, to) {
  for (const anchor of nav.querySelectorAll("a")) {
    if (anchor.dataset.page === page.nav) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  document.title = `${to.parts[0] ?? page.title} - edge-tdn`;
}

let first = true;

function focusHeading() {
  const heading = view.querySelector("h1");
  if (heading && !first) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  first = false;
}

/** Leave the view that is shown. Return the empty <main>, which has the signal of the next view as `signal`. */
function clear(place = null) {
  shown.leave.abort();
  shown = { place, leave: new AbortController(), update: null };
  view.replaceChildren();
  return Object.assign(view, { signal: shown.leave.signal });
}

function showHost() {
  if (store.state) setText(where, store.state.host.host);
}

start();
