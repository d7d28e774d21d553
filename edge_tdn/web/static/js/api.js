// Requests. JSON only; one place turns an answer into a value or an ApiError.
import { emit } from "./store.js";

const MARK = "edge-tdn-session"; // this browser has logged in once; the cookie itself is hidden from scripts

/** An answer other than success. `message` is a sentence for a person. */
export class ApiError extends Error {
  constructor(status, message, retryAfter = null) {
    super(message);
    this.name = "ApiError";
    this.status = status; // 0: no answer
    this.retryAfter = retryAfter; // seconds, or null
  }
}

/** Return the JSON of an answer. `query`: values that are null, undefined or "" are left out. */
export async function get(path, query = {}, signal = undefined) {
  return (await request(withQuery(path, query), { signal })).json();
}

/** Return the whole answer, for what is not JSON. */
export async function getRaw(path, query = {}, signal = undefined) {
  return request(withQuery(path, query), { signal });
}

/** Send JSON, and return the JSON of the answer, or null if it has none. */
export async function post(path, body = {}, signal = undefined) {
  const answer = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  return answer.status === 204 ? null : answer.json();
}

/** Return a path from its parts, each quoted: path("api", "camera", name, "scores"). */
export function path(...parts) {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** Return a path with a query. */
export function withQuery(of, query) {
  const present = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return present.length ? `${of}?${new URLSearchParams(present)}` : of;
}

/** Log in by `{token}` or by `{code}`, a one-time code. */
export async function logIn(secret) {
  await post("/api/session", secret);
  remember(true);
}

export async function logOut() {
  try {
    await post("/api/session/end");
  } finally {
    remember(false);
    emit("login", null);
  }
}

/** True if this browser may have a session. Without one, a request would only be refused, and logged as an error. */
export function mayHaveSession() {
  try {
    return localStorage.getItem(MARK) === "1";
  } catch {
    return true;
  }
}

function remember(session) {
  try {
    if (session) localStorage.setItem(MARK, "1");
    else localStorage.removeItem(MARK);
  } catch {
    // Storage is blocked: the next start asks the daemon.
  }
}

async function request(target, options) {
  let answer;
  try {
    answer = await fetch(target, { cache: "no-store", credentials: "same-origin", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The daemon does not answer.");
  }
  if (answer.ok) return answer;
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  const text = await reason(answer, retryAfter);
  if (answer.status === 401 && target !== "/api/session") {
    remember(false);
    emit("login", null);
  }
  throw new ApiError(answer.status, text, retryAfter);
}

async function reason(answer, retryAfter) {
  if (answer.status === 429) return `Too many requests. Try again in ${retryAfter ?? 10} s.`;
  try {
    const { error } = await answer.json();
    if (error) return error;
  } catch {
    // The answer has another form: its status has to do.
  }
  return answer.status === 503 ? "The daemon is busy. Try again." : `The daemon answered with status ${answer.status}.`;
}
