"""Life of the process: opens what the cameras share, starts everything, stops everything."""

import ctypes
import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from edge_tdn import __version__
from edge_tdn.config import Config, broker_access, check_camera_access
from edge_tdn.control import Control
from edge_tdn.decide import Origin, interrupted
from edge_tdn.demo_clip import DEMO, demo_clip
from edge_tdn.discovery import BIRTH_TOPIC, documents
from edge_tdn.errors import EdgeTdnError, last_line
from edge_tdn.labels import check_names, rules
from edge_tdn.manifest import Model, find_model, open_model
from edge_tdn.messages import ActionEvent, DaemonStatus, iso
from edge_tdn.mqtt import Connection
from edge_tdn.outbox import Outbox, outbox_folder
from edge_tdn.pipeline import Camera
from edge_tdn.publish import Publisher
from edge_tdn.runtime import Runtime, build_name, is_out_of_memory, open_runtime, out_of_memory
from edge_tdn.runtime.cache import cache_folder
from edge_tdn.scheduler import Scheduler

log = logging.getLogger(__name__)

STATUS_EVERY_S = 2.0  # cameras' statuses on their topics; a new state is told at once
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
LIFE_EVERY_S = 10.0  # the daemon's own
HEARD_BYTES = 65_536  # largest packet that a broker may send us: a command, our own status
LAST_EVENTS = 200  # of a camera, among which an action that was going on when the daemon was killed has its last
JOIN_S = 1.2  # how long a stop waits for all cameras together
RECORDED_S = 0.7  # and then for their clips to be finished
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # mallopt's parameters, from malloc.h
LARGE_BYTES = 4 << 20  # a decoded picture of more than 1920x1080


class Daemon:
    """One process: one runtime, one publisher, any number of cameras. `base` is where relative paths begin."""

    def __init__(self, config: Config, base: Path) -> None:
        tune_heaps()
        self._config = config
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._boot = secrets.token_hex(4)
        self._began_ns = time.time_ns()
        self.model = open_configured_model(config, base)
        check_names(config, self.model.labels, self.model.manifest.background)
        self._runtime = open_configured_runtime(config, self.model, cache_folder(config.runtime.cache, base))
        warn_unless_proven(self.model, self._runtime.precision, self._runtime.device)
        self._model_ref = self.model.ref(config.runtime.precision)
        access = broker_access(config.broker, base)
        check_camera_access(config, base)
        client_id = f"edge-tdn-{config.host}"  # a new start takes over the old session, and its last will with it
        if any(camera.source == DEMO for camera in config.camera):
            demo_clip()  # now, while no camera waits for it and Ctrl-C is heard
        outbox = Outbox(outbox_folder(config.outbox.folder, config.host, base), config.outbox)
        for camera in config.camera:
            _end_interrupted(outbox, camera.name)
        self._publisher = Publisher(
            config.base_topic, self._boot, outbox,
            lambda will, inbox: Connection(config.broker, client_id, access, will, inbox, HEARD_BYTES),
            self._failed,
            lambda topic, payload: self._control.hear(topic, payload),
        )  # fmt: skip
        self._scheduler = Scheduler(self._runtime, self.model.manifest.input, self._not_computed)
        self.cameras = [
            Camera(
                camera, config, base, self.model,
                Origin(config.host, camera.name, self._boot, self._model_ref),
                self._scheduler, self._publisher,
            )
            for camera in config.camera
        ]  # fmt: skip
        self._control = Control(self.cameras, self._publisher)
        labels = list(rules(config.decide, self.model.labels, self.model.manifest.background))
        self._publisher.announce(documents(config, labels), BIRTH_TOPIC)

    def run(self) -> None:
        """Serves until `stop`, or until every source has ended for good.

        EdgeTdnError: no source could be played at all, or a thread that all need failed.
        """
        try:
            self._publisher.start()
            self._scheduler.start()
            for camera in self.cameras:
                camera.start()
            self._serve()
        finally:
            self._shut_down()
        if self._failure:
            raise self._told(self._failure) from self._failure
        failures = [camera.failure for camera in self.cameras if camera.failure]
        if len(failures) == len(self.cameras):
            raise failures[0]

    def stop(self) -> None:
        """Ends `run`; may be called from any thread or a signal handler."""
        self._stop.set()

    def _serve(self) -> None:
        told, before = float("-inf"), None  # monotonic seconds; how it stood with broker and disk
        while not self._stop.is_set() and any(camera.running for camera in self.cameras):
            states = self._publisher.delivery.state, self._publisher.outbox_status.state
            if states != before or time.monotonic() - told >= LIFE_EVERY_S:
                told, before = time.monotonic(), states
                self._publisher.daemon_status(self._status())
            for camera in self.cameras:
                self._publisher.camera_status(camera.status())
            self._stop.wait(STATUS_EVERY_S)

    def _shut_down(self) -> None:
        for camera in self.cameras:
            camera.stop()
        deadline = time.monotonic() + JOIN_S
        for camera in self.cameras:
            camera.join(max(0.0, deadline - time.monotonic()))
        self._scheduler.stop(drop=self._stop.is_set())
        recorders = [camera.recorder for camera in self.cameras if camera.recorder]
        for recorder in recorders:
            recorder.close()
        deadline = time.monotonic() + RECORDED_S
        for recorder in recorders:
            recorder.join(max(0.0, deadline - time.monotonic()))
        for camera in self.cameras:
            self._publisher.camera_status(camera.status())
        self._publisher.stop()
        self._runtime.close()

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        self._stop.set()

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
        )


def _end_interrupted(outbox: Outbox, camera: str) -> None:
    """Actions that were going on when the daemon was killed have an end all the same."""
    last = outbox.last_seq(camera)
    entries = outbox.replay(camera, last - LAST_EVENTS + 1, last, LAST_EVENTS)
    with suppress(ValidationError):  # of another version
        ends = interrupted([ActionEvent.model_validate_json(entry.payload) for entry in entries])
        outbox.put([(end.camera, end.seq, end.json_bytes()) for end in ends])


def tune_heaps() -> None:
    """Has glibc share two heaps among all threads, keep room for the next pictures in them, but not for the largest.

    Left alone, it gives each of GStreamer's threads a heap: memory grew by 35 MB over the first ten reconnects. Memory
    that is given back comes again page by page, which takes longer than to convert the picture that goes there.
    """
    with suppress(OSError, AttributeError):  # another C library: it has its own ways
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, 2)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES)


def _give_back() -> None:
    """Has glibc return what compiling took and nobody needs any more: 10 to 40 MB."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def open_configured_model(config: Config, base: Path) -> Model:
    """The model that [runtime] names, verified."""
    return open_model(find_model(config.runtime.model, base))


def open_configured_runtime(config: Config, model: Model, cache: Path | None = None) -> Runtime:
    """The runtime that [runtime] describes, compiled and self-tested. `cache`: folder of compiled graphs."""
    wanted = config.runtime
    began = time.monotonic()
    runtime = open_runtime(model, wanted.precision, wanted.device, wanted.threads, cache)
    _give_back()
    log.info(
        "model=%s precision=%s device=%s ready in %.1f s, self-test passed", model.manifest.id, runtime.precision,
        runtime.device, time.monotonic() - began,
    )  # fmt: skip
    return runtime


def warn_unless_proven(model: Model, precision: str, device: str) -> None:
    """A precision that nobody compared with PyTorch serves all the same, but not silently."""
    parity = model.manifest.parity.get(build_name(precision, device))
    if parity is None:
        why = "was never proven equal to PyTorch"
    elif not parity.proven:
        why = "differs from PyTorch by more than its limit"
    elif parity.device != device:
        why = f"was proven equal to PyTorch on {parity.device}, not on {device}"
    else:
        return
    log.warning(
        "model=%s precision=%s %s; `edge-tdn-export parity %s` compares it", model.manifest.id, precision, why,
        model.folder,
    )  # fmt: skip


def stop_on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT end the process cleanly."""

    def handle(number: int, frame: FrameType | None) -> None:
        log.info("stopping signal=%s", signal.Signals(number).name)
        for other in STOP_SIGNALS:  # once is enough; a second Ctrl-C must not break into the goodbye
            signal.signal(other, signal.SIG_IGN)
        # on a thread of its own: the one that was interrupted may hold the lock that `stop` wants
        threading.Thread(target=stop).start()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
