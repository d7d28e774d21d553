"""Life of the process: opens what the cameras share, starts everything, changes it while it runs, stops everything.

A reload first tries everything that the file asks for, on a thread of its own and beside what serves: the
configuration, the cameras' addresses, the model, which is compiled and tested if it is another. Only then it changes
anything, so that whatever is wrong leaves the daemon as it was.
"""

import gc
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edge_tdn import __version__
from edge_tdn.actions.decider import Origin, interrupted
from edge_tdn.actions.labels import check_names, rules
from edge_tdn.config.tables import Access, Config, broker_access, check_camera_access, load
from edge_tdn.delivery.home_assistant import BIRTH_TOPIC, documents
from edge_tdn.delivery.mqtt import Connection, Inbox, Message
from edge_tdn.delivery.outbox.folder import outbox_folder
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.demo.demo_clip import DEMO, demo_clip
from edge_tdn.errors import EdgeTdnError, last_line
from edge_tdn.inference.compiled_cache import cache_folder
from edge_tdn.inference.open_model import open_configured_model, open_configured_runtime, warn_unless_proven
from edge_tdn.inference.runtime import is_out_of_memory, out_of_memory
from edge_tdn.inference.scheduler import Scheduler, Successor
from edge_tdn.manifest import Model
from edge_tdn.messages import ActionEvent, ConfigState, ConfigStatus, DaemonStatus, ModelRef, iso
from edge_tdn.process import heartbeat, systemd_notify
from edge_tdn.process.log import flush_rate_limited
from edge_tdn.process.malloc import trim, tune_for_daemon
from edge_tdn.process.passwords import without_password
from edge_tdn.service.camera import Camera
from edge_tdn.service.control import Control
from edge_tdn.service.reload import Changes, changes, in_force
from edge_tdn.service.verify import verify

if TYPE_CHECKING:  # loaded where it is wanted: 1 MB, and a web server
    from edge_tdn.recording.recorder import Recorder
    from edge_tdn.service.metrics import Metrics

log = logging.getLogger(__name__)

STATUS_EVERY_S = 2.0  # cameras' statuses on their topics; a new state is told at once
LIFE_EVERY_S = 10.0  # the daemon's own
COMPILE_S = 600.0  # at most: a GPU's first time may take minutes
HEARD_BYTES = 65_536  # largest packet that a broker may send us: a command, our own status
LAST_EVENTS = 200  # of a camera, among which an action that was going on when the daemon was killed has its last
CHANGED_S = 0.4  # how long a stop waits for a reload that has begun to change things
JOIN_S = 0.9  # and then for all cameras together
COMPUTED_S = 0.7  # and then for the turn that is being computed; what the first three do not need is the next one's
RECORDED_S = 0.6  # and then for their clips to be finished; the broker's goodbye comes last


class Daemon:
    """One process: one runtime, one publisher, any number of cameras. `base` is where relative paths begin.

    `path`: the configuration's file, which `reload` reads again.
    """

    def __init__(self, config: Config, base: Path, path: Path | None = None) -> None:
        tune_for_daemon()
        self._config, self._base, self._path = config, base, path
        self._stop = threading.Event()
        self._woken = threading.Event()  # stopped, or something to tell at once
        self._reload_wanted = False
        self._reloaded: threading.Event | None = None  # of a reload that is under way, or was a moment ago
        self._half: Config | None = None  # one that failed while it was brought into force
        self._changing = threading.Lock()  # held while a reload changes what runs
        self._computed = True  # the runtime thread has ended when it was asked to
        self._told_config = ConfigStatus(state="in_force", reason="", since=iso(time.time_ns()))
        self._failure: BaseException | None = None
        self._watchdog = heartbeat.Watchdog()
        self._boot = secrets.token_hex(4)
        self._began_ns = time.time_ns()
        self._metrics: Metrics | None = None
        if config.metrics.port:
            from edge_tdn.service import metrics

            self._metrics = metrics.Metrics(config, lambda: [camera.status() for camera in self.cameras], self._status)
        self._observe = self._metrics.observe if self._metrics else None
        systemd_notify.extend(COMPILE_S, "verifying and compiling the model")
        self.model = open_configured_model(config, base)
        check_names(config, self.model.labels, self.model.manifest.background)
        self._runtime = open_configured_runtime(config, self.model, cache_folder(config.runtime.cache, base))
        warn_unless_proven(self.model, self._runtime.precision, self._runtime.device)
        self._model_ref = self.model.ref(config.runtime.precision)
        self._access = broker_access(config.broker, base)
        check_camera_access(config, base)
        _draw_demo(config)
        outbox = Outbox(outbox_folder(config.outbox.folder, config.host, base), config.outbox)
        for name in outbox.cameras:
            _end_interrupted(outbox, name)
        self._publisher = Publisher(
            config.base_topic, self._boot, outbox, partial(_connect, config, self._access), self._failed,
            lambda topic, payload: self._control.hear(topic, payload),
            self._observe,
        )  # fmt: skip
        self._scheduler = Scheduler(self._runtime, self.model.manifest.input, self._not_computed)
        self.cameras = [self._camera(config, camera.name) for camera in config.camera]
        self._control = Control(self.cameras, self._publisher)
        self._announce(config)

    def run(self) -> None:
        """Serves until `stop`, or until every source has ended for good.

        EdgeTdnError: no source could be played at all, or a thread that all need failed.
        """
        try:
            self._publisher.start()
            self._scheduler.start()
            self._start(self.cameras)
            names = ",".join(camera.name for camera in self.cameras)
            log.info(
                "serving host=%s topics=%s/... broker=%s:%d model=%s cameras=%s", self._config.host,
                self._config.base_topic, *self._config.broker.address, self._model_ref.id, names,
            )  # fmt: skip
            if self._metrics:
                self._metrics.start()
            self._serve()
        finally:
            systemd_notify.stopping()
            self._shut_down()
            self._watchdog.close()
        if self._failure:
            raise self._told(self._failure) from self._failure
        failures = [camera.failure for camera in self.cameras if camera.failure]
        if len(failures) == len(self.cameras):
            raise failures[0]

    def stop(self) -> None:
        """Ends `run`; may be called from any thread or a signal handler."""
        self._stop.set()
        self._woken.set()

    def reload(self) -> None:
        """Has the configuration read again, soon, and once more if one is being read; from any thread."""
        self._reload_wanted = True
        self._woken.set()

    @property
    def hanging(self) -> list[str]:
        """Threads that a library held when `run` ended."""
        names = [thread.name for thread in threading.enumerate()]
        left = [name for name in names if name.startswith(("camera ", "main stream ", "recorder "))]
        return left + ([] if self._computed else ["runtime"]) + (["reload"] if self._is_reloading() else [])

    def _serve(self) -> None:
        told, before = float("-inf"), None  # monotonic seconds; how it stood with broker, disk and configuration
        systemd_notify.ready()
        while not self._stop.is_set():
            flush_rate_limited()
            self._look_after_reload()
            if not self._is_reloading() and not any(camera.running for camera in self.cameras):
                return
            states = self._publisher.delivery.state, self._publisher.outbox_status.state, self._told_config
            if states != before or time.monotonic() - told >= LIFE_EVERY_S:
                told, before = time.monotonic(), states
                self._publisher.daemon_status(self._status())
                trim()
            for camera in self.cameras:
                self._publisher.camera_status(camera.status())
            if self._watchdog.look() and self._is_reloading():
                systemd_notify.extend(self._watchdog.period_s, self._line())  # else it takes the reload for failed
            else:
                systemd_notify.status(self._line())
            self._woken.wait(min(STATUS_EVERY_S, self._watchdog.period_s))
            self._woken.clear()

    def _look_after_reload(self) -> None:
        """Begins one that is wanted. systemd hears of it from here alone, so that nothing follows on our goodbye."""
        if self._reloaded and self._reloaded.is_set():
            self._reloaded = None
            systemd_notify.ready()
        if self._path and self._reload_wanted and not self._reloaded:
            self._reload_wanted = False
            self._reloaded = threading.Event()
            systemd_notify.reloading()
            arguments = self._path, self._reloaded
            threading.Thread(target=self._read_again, args=arguments, name="reload", daemon=True).start()

    def _is_reloading(self) -> bool:
        return self._reloaded is not None and not self._reloaded.is_set()

    @heartbeat.beating()
    def _read_again(self, path: Path, over: threading.Event) -> None:
        """On a thread of its own: a network may take a minute to compile."""
        heartbeat.beat(COMPILE_S)
        log.info("config=%s is read again", path)
        self._tell_config("checking", "")
        try:
            self._reload(path)
        finally:
            over.set()
            self._woken.set()

    def _reload(self, path: Path) -> None:
        try:
            wanted = load(path)
            verify(wanted, path)
            # for good, or a reload before failed when it had stopped them: they have another chance
            failed = {camera.name for camera in self.cameras if camera.failure or camera.stopped}
            there = self._config.model_copy(update={"camera": [camera.config for camera in self.cameras]})
            changed, config = changes(there, wanted, failed, self._half), in_force(self._config, wanted)
            access = broker_access(config.broker, self._base)
            model = open_configured_model(config, self._base)
            check_names(config, model.labels, model.manifest.background)
            _draw_demo(config)
            successor = None
            if changed.runtime or model.sha256 != self.model.sha256:
                cache = cache_folder(config.runtime.cache, self._base)
                successor = Successor(open_configured_runtime(config, model, cache))
            with self._changing:
                if self._stop.is_set():
                    return
                self._change(config, changed, access, model, successor)
        except CancelledError:  # the daemon has stopped meanwhile
            return
        except EdgeTdnError as error:
            log.error("config=%s refused, the one before stays in force: %s", path, error)
            self._tell_config("refused", str(error))
            return
        except Exception as error:  # what cannot be foreseen must not end what serves
            log.exception("config=%s could not be brought into force", path)
            self._tell_config("refused", f"{type(error).__name__}: {last_line(error)}; the log says where")
            return
        later = f"a restart is needed for {', '.join(changed.later)}" if changed.later else ""
        log.log(logging.WARNING if later else logging.INFO, "config=%s in force: %s%s", path, changed,
                f"; {later}" if later else "")  # fmt: skip
        self._tell_config("in_force", later)
        self._woken.set()

    def _change(
        self, config: Config, changed: Changes, access: Access, model: Model, successor: Successor | None
    ) -> None:
        """Brings a configuration into force. What may still fail is first."""
        ref = model.ref(config.runtime.precision)

        def change_cameras() -> None:
            sights = [camera.sight(model.manifest.input) for camera in self.cameras]
            for camera, sight in zip(self.cameras, sights, strict=True):
                camera.change(config, model, self._origin(config, camera.name, ref), sight)

        refed = self.model.manifest.input != model.manifest.input
        if successor:
            self._exchange(successor, model, change_cameras)
            warn_unless_proven(model, successor.runtime.precision, successor.runtime.device)
        else:
            self._scheduler.between_turns(change_cameras)
        self._half = config
        self.model, self._model_ref = model, ref
        self._replace_cameras(config, changed)
        if changed.leaving:
            gc.collect()  # a camera and its lane know each other: its ring and its recorder's pictures would stay
        if changed.recorders or refed:
            new = changed.added + changed.restarted
            _finish([camera.record_anew(config) for camera in self.cameras if camera.name not in new])
        self._announce(config)
        if changed.connection or access != self._access:
            elsewhere = config.broker.address != self._config.broker.address
            self._publisher.reconnect(partial(_connect, config, access), elsewhere)
        self._config, self._access, self._half = config, access, None

    def _exchange(self, successor: Successor, model: Model, meanwhile: Callable[[], None]) -> None:
        """Another runtime from the next turn on. EdgeTdnError: it fails; nothing has changed."""
        before = self._runtime
        try:
            self._scheduler.exchange(successor, model.manifest.input, meanwhile)
        except Exception as error:
            successor.runtime.close()
            if is_out_of_memory(error):
                raise out_of_memory(successor.runtime.device, f"computing a segment: {last_line(error)}") from error
            raise
        self._runtime = successor.runtime
        before.close()
        trim()

    def _replace_cameras(self, config: Config, changed: Changes) -> None:
        """Stops what leaves, then starts what comes: a device can be opened once."""
        before = {camera.name: camera for camera in self.cameras}
        leaving = [before[name] for name in changed.leaving]
        for camera in leaving:
            camera.stop("removed from the configuration" if camera.name in changed.removed else "its table has changed")
        _join(leaving, time.monotonic() + JOIN_S)
        for camera in leaving:
            self._scheduler.between_turns(camera.leave)
        _finish([camera.recorder for camera in leaving])
        for camera in leaving:
            camera.dismiss(camera.name in changed.removed)
        coming = {name: self._camera(config, name) for name in changed.added + changed.restarted}
        for name in changed.restarted:
            coming[name].set_enabled(before[name].enabled)  # who switched it off does not want it on by the way
        self.cameras = [(before | coming)[camera.name] for camera in config.camera]
        self._control.exchange(self.cameras)
        self._start(list(coming.values()))

    def _start(self, cameras: Sequence[Camera]) -> None:
        """But for those that a stop, which has begun, does not know yet."""
        for camera in cameras:
            if not self._stop.is_set():
                camera.start()

    def _camera(self, config: Config, name: str) -> Camera:
        (table,) = (camera for camera in config.camera if camera.name == name)
        origin = self._origin(config, name, self._model_ref)
        return Camera(
            table, config, self._base, self.model, origin, self._scheduler, self._publisher, self._observe
        )  # fmt: skip

    def _origin(self, config: Config, name: str, ref: ModelRef) -> Origin:
        return Origin(config.host, name, self._boot, ref)

    def _announce(self, config: Config) -> None:
        labels = list(rules(config.decide, self.model.labels, self.model.manifest.background))
        self._publisher.announce(documents(config, labels), BIRTH_TOPIC)

    def _tell_config(self, state: ConfigState, reason: str) -> None:
        self._told_config = ConfigStatus(state=state, reason=without_password(reason), since=iso(time.time_ns()))
        self._woken.set()

    def _shut_down(self) -> None:
        deadline = time.monotonic() + CHANGED_S
        changed = self._changing.acquire(timeout=CHANGED_S)
        for camera in self.cameras:
            camera.stop()
        deadline += JOIN_S
        _join(self.cameras, deadline)
        deadline += COMPUTED_S
        drop = self._stop.is_set()
        self._computed = self._scheduler.stop(drop, max(0.0, deadline - time.monotonic()) if drop else None)
        _finish([camera.recorder for camera in self.cameras])
        for camera in self.cameras:
            self._publisher.camera_status(camera.status())
        self._publisher.stop()
        if self._metrics:
            self._metrics.close()
        if self._computed and changed:
            self._runtime.close()
        if changed:
            self._changing.release()  # a reload that has come so far hears that it is too late
        flush_rate_limited(final=True)

    def _line(self) -> str:
        """How it stands, for `systemctl status`."""
        streaming = sum(camera.status().state == "streaming" for camera in self.cameras)
        return (
            f"{streaming} of {len(self.cameras)} cameras streaming; broker {self._publisher.delivery.state}; "
            f"{self._publisher.outbox_status.waiting} events wait"
            f"{'; the new configuration was refused' if self._told_config.state == 'refused' else ''}"
        )

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        self.stop()

    def _not_computed(self, error: BaseException) -> None:
        if is_out_of_memory(error):
            error = out_of_memory(self._runtime.device, f"computing a clip: {last_line(error)}")
        self._failed(error)

    def _told(self, failure: BaseException) -> EdgeTdnError:
        if isinstance(failure, EdgeTdnError):
            return failure
        return EdgeTdnError(f"stopped: {type(failure).__name__}: {last_line(failure)}; the log says where")

    def _status(self) -> DaemonStatus:
        return DaemonStatus(
            host=self._config.host,
            version=__version__,
            boot=self._boot,
            started_at=iso(self._began_ns),
            model=self._model_ref,
            device=self._runtime.device,
            cameras=[camera.name for camera in self.cameras],
            segment_s=round(self.model.manifest.input.segment_s, 4),
            session=self._publisher.session,
            delivery=self._publisher.delivery,
            outbox=self._publisher.outbox_status,
            config=self._told_config,
            connects=self._publisher.connects,
        )


def _connect(config: Config, access: Access, will: Callable[[int], Message], inbox: Inbox) -> Connection:
    # a new start takes over the old session, and its last will with it
    return Connection(config.broker, f"edge-tdn-{config.host}", access, will, inbox, HEARD_BYTES)


def _finish(recorders: Sequence["Recorder | None"]) -> None:
    """All together finish what they have begun."""
    working = [recorder for recorder in recorders if recorder]
    for recorder in working:
        recorder.close()
    _join(working, time.monotonic() + RECORDED_S)


def _join(working: Sequence["Camera | Recorder"], deadline: float) -> None:
    """Waits for their threads until then, all together. `deadline`: monotonic seconds."""
    for one in working:
        one.join(max(0.0, deadline - time.monotonic()))


def _draw_demo(config: Config) -> None:
    """Now, while no camera waits for it and Ctrl-C is heard."""
    if any(camera.source == DEMO for camera in config.camera):
        demo_clip()


def _end_interrupted(outbox: Outbox, camera: str) -> None:
    """Actions that were going on when the daemon was killed have an end all the same."""
    last = outbox.last_seq(camera)
    entries = outbox.replay(camera, last - LAST_EVENTS + 1, last, LAST_EVENTS)
    with suppress(ValidationError):  # of another version
        ends = interrupted([ActionEvent.model_validate_json(entry.payload) for entry in entries])
        outbox.put([(end.camera, end.seq, end.json_bytes()) for end in ends])
