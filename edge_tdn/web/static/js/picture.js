// Live pictures: JPEGs on request, drawn onto a canvas, only while someone can see them.
import { getRaw, path } from "./api.js";
import { el, wait } from "./dom.js";
import { cameraOf, store } from "./store.js";

const WIDTHS = [160, 320, 640, 960, 1280];
const SHOWN = new Set(["streaming", "frozen"]); // states in which frames arrive; otherwise a request would fail
const IDLE_S = 0.25; // between two looks whether there is something to ask for
const PAUSE_S = 2; // after a request that brought no picture
const MAX_REQUESTS = 3; // at a time: a browser opens six connections to a host, and the stream has one

let requests = 0;

/**
 * Return a canvas that shows a camera until the signal is aborted.
 *
 * `seconds`: from one picture to the next. `maxWidth`: pixels. `onpicture(size)`: called when the size of the camera's
 * frames is known, and when it changes. The canvas has the time of its picture as `data-taken`.
 */
export function livePicture(camera, { seconds, maxWidth, signal, onpicture = () => {} }) {
  const canvas = el("canvas", {
    class: "live-picture",
    width: 16,
    height: 9,
    role: "img",
    "aria-label": `Live picture of ${camera}`,
  });
  let visible = false;
  const observer = new IntersectionObserver((entries) => {
    visible = entries.at(-1).isIntersecting;
  });
  observer.observe(canvas);
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  let size = "";

  async function follow() {
    while (!signal.aborted) {
      if (document.hidden || !visible || !mayShow(camera) || requests >= MAX_REQUESTS) {
        await wait(IDLE_S, signal);
        continue;
      }
      const began = performance.now();
      const failed = await load();
      const spent = (performance.now() - began) / 1000;
      await wait(failed ? failed : Math.max(seconds - spent, 0.05), signal);
    }
  }

  /** Show the newest picture; return 0, or the seconds to wait if there is none. */
  async function load() {
    requests += 1;
    try {
      const answer = await getRaw(path("api", "camera", camera, "picture"), { w: widthOf(canvas, maxWidth) }, signal);
      if (answer.status === 204) return PAUSE_S; // it stopped sending while we asked
      const bitmap = await createImageBitmap(await answer.blob());
      if (signal.aborted) return 0;
      draw(canvas, bitmap);
      canvas.dataset.taken = answer.headers.get("X-Taken") ?? "";
      const now = answer.headers.get("X-Size") ?? `${bitmap.width}x${bitmap.height}`;
      if (now !== size) {
        size = now;
        const [width, height] = now.split("x").map(Number);
        onpicture({ width, height });
      }
      bitmap.close();
      return 0;
    } catch (error) {
      return signal.aborted ? 0 : (error.retryAfter ?? PAUSE_S);
    } finally {
      requests -= 1;
    }
  }

  follow();
  return canvas;
}

function mayShow(camera) {
  return store.connection !== "gone" && SHOWN.has(cameraOf(camera)?.status.state);
}

function widthOf(canvas, maxWidth) {
  const needed = Math.min(canvas.clientWidth * devicePixelRatio, maxWidth);
  return WIDTHS.find((width) => width >= needed) ?? WIDTHS.at(-1);
}

function draw(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}
