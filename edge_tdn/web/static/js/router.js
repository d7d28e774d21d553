// Addresses within the page: #/cameras, #/camera/NAME?zone=hands, #/events?camera=NAME, #/teach, #/host.

/** Return the address in force: {page, parts, query}; `parts`: what follows the page; `query`: a Map-like object. */
export function route() {
  const [way, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [page, ...parts] = way.split("/").map(decoded);
  return { page: page || "cameras", parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Return the address of a page: link("camera", ["front-door"], {zone: "hands"}). */
export function link(page, parts = [], query = {}) {
  const present = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const way = `#/${[page, ...parts].map(encodeURIComponent).join("/")}`;
  return present.length ? `${way}?${new URLSearchParams(present)}` : way;
}

/** Change the query of the address in force; the view stays as it is, and so does what is focused. */
export function replaceQuery(query) {
  const { page, parts } = route();
  history.replaceState(null, "", link(page, parts, query));
}
