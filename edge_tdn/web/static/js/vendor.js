// The plotting library: a classic script, loaded by the first plot alone. Its licence is beside it.

let loading = null;

/** Return the constructor of uPlot. */
export function loadPlotLibrary() {
  loading ??= Promise.all([
    added("link", { rel: "stylesheet", href: "/static/vendor/uPlot.min.css" }),
    added("script", { src: "/static/vendor/uPlot.iife.min.js" }),
  ]).then(() => globalThis.uPlot);
  loading.catch(() => {
    loading = null;
  }); // the next plot tries again
  return loading;
}

function added(tag, properties) {
  return new Promise((resolve, reject) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.addEventListener("load", resolve);
    node.addEventListener("error", () => reject(new Error(`${node.src || node.href} is not served`)));
    document.head.append(node);
  });
}
