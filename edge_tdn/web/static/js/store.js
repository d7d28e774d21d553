// What the page knows of the daemon, and who is notified when it changes.
//
// kind        value                                          when
// state       the answer of GET /api/state                   loaded again: at the start, after a gap, after a restart
// connection  "starting", "live", "gone", "paused" or "full" it has changed; paused: the tab is hidden; full: there are
//                                                            too many tabs, and the state is asked for every 2 s
// scores      {camera, zone, at, scores, action, latency_ms, repeated}    a clip was classified, at most 4 a second
// action      {camera, zone, label or null}                  the active action has changed
// event       ActionEvent                                    an action has started, was updated or has ended
// camera      CameraStatus                                   published again
// host        DaemonStatus                                   published again
// record      RecordState                                    a recording of clips has changed, at most 4 a second
// finetune    FinetuneState                                  a training has changed, likewise
// trial       TrialState                                     a trial of a model has changed, likewise
// resync      {}                                             notes were missed: read again what a view has kept itself
// login       null                                           the session has ended

const listeners = new Map();

export const store = {
  state: null, // the newest GET /api/state, kept up to date by `camera` and `host`
  connection: "starting",
  latest: new Map(), // newest action, and scores if any have come, by placeKey(camera, zone)
};

/** Call `listener(value)` for every note of this kind until the signal is aborted. */
export function on(kind, listener, signal) {
  if (signal?.aborted) return;
  if (!listeners.has(kind)) listeners.set(kind, new Set());
  listeners.get(kind).add(listener);
  signal?.addEventListener("abort", () => listeners.get(kind).delete(listener), { once: true });
}

/** Take a note into the state, then notify who listens to its kind. */
export function emit(kind, value) {
  TAKE[kind]?.(value);
  for (const listener of [...(listeners.get(kind) ?? [])]) listener(value);
}

const TAKE = {
  state: (state) => {
    store.state = state;
    for (const { name, zones } of state.cameras) {
      for (const { zone, action } of zones) store.latest.set(placeKey(name, zone), { camera: name, zone, action });
    }
  },
  connection: (connection) => {
    store.connection = connection;
  },
  scores: (clip) => store.latest.set(placeKey(clip.camera, clip.zone), clip),
  action: ({ camera, zone, label }) => {
    const key = placeKey(camera, zone);
    store.latest.set(key, { ...store.latest.get(key), camera, zone, action: label });
  },
  camera: (status) => {
    const known = cameraOf(status.camera);
    if (known) {
      known.status = status;
      known.enabled = status.state !== "disabled";
    }
  },
  host: (status) => {
    if (store.state) store.state.host = status;
  },
};

/** Return a camera of the state by its name, or undefined. */
export function cameraOf(name) {
  return store.state?.cameras.find((camera) => camera.name === name);
}

/** Return the key of a camera or of one of its zones. */
export function placeKey(camera, zone) {
  return JSON.stringify([camera, zone ?? null]);
}

/** Return the names of the actions that are active in a camera: one a zone at most. */
export function activeActions(name) {
  const zones = cameraOf(name)?.zones ?? [];
  return zones.flatMap(({ zone }) => {
    const action = store.latest.get(placeKey(name, zone))?.action;
    return action ? [{ zone, action }] : [];
  });
}
