// Host: what the daemon says of itself: faults first, then broker, outbox, configuration, models.
import { logOut, post } from "../api.js";
import { el, every, fillWith, setText } from "../dom.js";
import { facts, isAbort, linesToCopy, liveControls, stateMark, textOf } from "../parts.js";
import { on, store } from "../store.js";
import { themeSwitch } from "../theme.js";
import { length, timeOf } from "../time.js";

const REFRESH_S = 10; // of lengths since a moment

export function show(view, route, signal) {
  const faults = el("div", { class: "stack", role: "status" });
  const parts = el("div", { class: "host-grid" });
  view.append(
    el("div", { class: "head" }, el("h1", {}, "Host")),
    el("div", { class: "stack" }, faults, parts, devices(signal)),
  );

  function draw() {
    if (!store.state) return;
    const { host, cameras } = store.state;
    const found = faultsOf(host, cameras);
    const notes = found.map(([what, why]) => el("p", { class: "note bad" }, el("strong", {}, `${what}: `), why));
    if (!notes.length) notes.push(el("p", { class: "note" }, stateMark("good", "Nothing is wrong.")));
    renew(faults, notes);
    renew(parts, [daemon(host), broker(host), outbox(host), configuration(host), models(host, cameras)]);
  }
  draw();
  on("host", draw, signal);
  on("state", draw, signal);
  every(REFRESH_S, draw, signal);
}

function faultsOf(host, cameras) {
  const found = [];
  if (!["connected", "connecting"].includes(host.delivery.state)) {
    found.push(["Broker", host.delivery.reason || host.delivery.state]);
  }
  if (host.outbox.reason) found.push(["Outbox", host.outbox.reason]);
  if (host.outbox.lost) found.push(["Outbox", `${host.outbox.lost} events were lost`]);
  if (host.config?.state === "refused") found.push(["Configuration", host.config.reason]);
  if (host.runtime && host.runtime.state !== "ok") found.push(["Network", host.runtime.reason]);
  if (host.metrics_fault) found.push(["Metrics", host.metrics_fault]);
  if (host.page_fault) found.push(["Page", host.page_fault]);
  for (const { name, status } of cameras) {
    if (status.reason && status.state !== "disabled") found.push([`Camera ${name}`, status.reason]);
  }
  return found;
}

/** Put these children into a node; those that look the same stay, with what is selected in them. */
function renew(node, children) {
  const old = [...node.children];
  const now = children.filter(Boolean).map((child) => old.find((one) => one.isEqualNode(child)) ?? child);
  if (now.length !== old.length || now.some((child, at) => child !== old[at])) fillWith(node, now);
}

function section(title, ...content) {
  return el("section", { class: "card body stack" }, el("h2", {}, title), ...content);
}

function since(moment) {
  return [length((Date.now() - Date.parse(moment)) / 1000), ", since ", timeOf(moment)];
}

function daemon(host) {
  return section(
    "Daemon",
    facts([
      ["Host", host.host],
      ["Version", host.version],
      ["Running", el("span", {}, since(host.started_at))],
      ["Cameras", String(host.cameras.length)],
    ]),
  );
}

function broker({ delivery, session, connects }) {
  const form = { connected: "good", connecting: "warn", degraded: "warn" }[delivery.state] ?? "bad";
  return section(
    "Broker",
    facts([
      ["State", stateMark(form, delivery.state.replace("_", " "))],
      ["Since", el("span", {}, since(delivery.since))],
      ["Reason", delivery.reason],
      ["Connections", `${connects} accepted since the start; this is number ${session}`],
    ]),
  );
}

function outbox({ outbox: { state, reason, waiting, delivered, dropped, lost, size } }) {
  return section(
    "Outbox",
    facts([
      ["State", stateMark(state === "ok" ? "good" : state === "off" ? "off" : "bad", state.replace("_", " "))],
      ["Reason", reason],
      ["Waiting", `${waiting} ${waiting === 1 ? "event" : "events"}`],
      ["Delivered", `${delivered} since the start`],
      ["Given up", dropped ? `${dropped}, too old or too many` : "none"],
      ["Lost", lost ? String(lost) : "none"],
      ["On disk", `${(size / 1e6).toFixed(1)} MB`],
    ]),
  );
}

function configuration({ config }) {
  if (!config) return null;
  const [form, word] = {
    in_force: ["good", "in force"],
    checking: ["warn", "a new one is being checked"],
    refused: ["bad", "the new one is refused"],
  }[config.state] ?? ["warn", config.state];
  return section(
    "Configuration",
    facts([
      ["State", stateMark(form, word)],
      ["Reason", config.reason],
      ["Since", el("span", {}, since(config.since))],
    ]),
  );
}

function models(host, cameras) {
  const labels = new Map(cameras.flatMap(({ zones }) => zones.map(({ model, labels: own }) => [model.sha256, own])));
  const rows = host.models.length ? host.models : [{ model: host.model, device: host.device, runtime: host.runtime }];
  return el(
    "section",
    { class: "card body stack wide" },
    el("h2", {}, rows.length === 1 ? "Model" : "Models"),
    rows.map(({ model, device, zones, memory_mb: memory, runtime }) =>
      el(
        "div",
        { class: "stack model" },
        el("h3", {}, `${model.id}, ${model.precision}`),
        facts([
          ["Device", device],
          ["Serves", zones ? `${zones} ${zones === 1 ? "camera or zone" : "cameras and zones"}` : null],
          ["Memory", memory ? `${Math.round(memory)} MB, estimated` : null],
          ["State", runtime && stateMark(runtime.state === "ok" ? "good" : "bad", runtime.state)],
          ["Reason", runtime?.reason],
          ["Labels", labels.get(model.sha256)?.join(", ")],
          ["SHA-256", el("code", { class: "hash" }, model.sha256)],
        ]),
      ),
    ),
  );
}

function devices(signal) {
  const shown = el("div", { class: "stack" });
  const failed = el("p", { class: "small", role: "alert" });

  async function invite() {
    try {
      const { address, seconds } = await post("/api/session/code");
      fillWith(
        shown,
        el(
          "p",
          { class: "small" },
          `Open this address on the other device. It is good for one login, for ${length(seconds)}:`,
        ),
        linesToCopy(address, "Address for another device"),
      );
      setText(failed, "");
    } catch (error) {
      if (!isAbort(error)) setText(failed, textOf(error));
    }
  }
  return el(
    "section",
    { class: "card body stack" },
    el("h2", {}, "This browser"),
    themeSwitch(),
    liveControls(
      signal,
      { class: "row" },
      el("button", { type: "button", class: "button", onclick: invite }, "Let another device in"),
      el(
        "button",
        { type: "button", class: "button", onclick: () => logOut().catch((error) => setText(failed, textOf(error))) },
        "Log out",
      ),
    ),
    shown,
    failed,
  );
}
