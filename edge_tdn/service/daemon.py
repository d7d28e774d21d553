"""The life of the process: opens what is served (startup.py), serves, reloads on request (reloader.py), shuts down."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge_tdn.config.resolved_zones import model_choices
from edge_tdn.config.tables import Config
from edge_tdn.errors import DeviceError, EdgeTdnError, last_line, with_type
from edge_tdn.hub.hub import Hub
from edge_tdn.hub.page import OpenPage, Page, check_installed
from edge_tdn.hub.teaching_access import Teaching
from edge_tdn.inference.open_model import open_configured_runtime
from edge_tdn.inference.runtime import is_out_of_memory, out_of_memory
from edge_tdn.manifest import Model
from edge_tdn.networks import NetworkOpener, OpenRuntime
from edge_tdn.process import heartbeat, systemd_notify
from edge_tdn.process.log import flush_rate_limited
from edge_tdn.process.malloc import trim, tune_for_daemon
from edge_tdn.service.camera import Camera
from edge_tdn.service.daemon_status import EndpointFaults, daemon_status, status_line
from edge_tdn.service.page_host import PageHost
from edge_tdn.service.reloader import Reloader
from edge_tdn.service.running import Running, finish_recorders, join_all
from edge_tdn.service.startup import open_running
from edge_tdn.service.timing import DEFAULT_DAEMON_TIMING, DaemonTiming, MetricsTiming
from edge_tdn.service.verify import check_label_folder
from edge_tdn.status_messages import DaemonStatus

log = logging.getLogger(__name__)

# how the names start of threads that a library may hold
LIBRARY_THREADS = ("camera ", "main stream ", "recorder ", "trial")


class Daemon:
    """One process.

    `run` belongs to the main loop's thread. `stop` and `reload` may be called from any thread, and `cameras`, `model`
    and `hanging` read from any. `_failure` is set by the thread that fails, before it stops the daemon; `_computed`
    belongs to the main loop; all else is fixed.
    """

    def __init__(
        self,
        config: Config,
        base: Path,
        path: Path | None = None,
        timing: DaemonTiming = DEFAULT_DAEMON_TIMING,
        temporary: bool = False,
        open_runtime: OpenRuntime = open_configured_runtime,
        open_page: OpenPage | None = None,
    ) -> None:
        """Open everything. `base`: where relative paths start; `path`: the file that `reload` reads again.

        `temporary`: leave nothing at the broker. `open_page`: opens the page, if [web] asks for it.

        EdgeTdnError: something cannot be opened.
        """
        tune_for_daemon()
        self._timing, self._temporary = timing, temporary
        self._started_ns = time.time_ns()
        self._stop = threading.Event()
        self._woken = threading.Event()  # stopped, or something to publish at once
        self._failure: BaseException | None = None
        self._computed = True  # the runtime thread has ended when it was asked to
        self._watchdog = heartbeat.Watchdog()
        boot = secrets.token_hex(4)
        self._hub = hub = Hub(boot) if config.web.port and open_page else None
        self.page = _open_page(config, base, hub, open_page)
        self._metrics = _open_metrics(config, lambda: self.cameras, self._status, timing.metrics)
        count = len({(choice.model, choice.precision) for choice in model_choices(config)})
        systemd_notify.extend(count * timing.compile_s, "verifying and compiling the model")
        observe = self._metrics.observe if self._metrics else None
        networks = NetworkOpener(base, open_runtime, timing.rebuild, self._woken.set)
        self._running = open_running(
            config, networks, path, timing, self._stop, self._fail, self._fail_runtime, boot, observe, hub
        )
        if hub:
            hub.host = PageHost(self._running, self._status)
        self._reloader = Reloader(path, self._running, self._stop, self._woken.set)
        if hub:
            hub.offer_teaching(lambda: _open_teaching(self._running, self._reloader, hub))

    @property
    def cameras(self) -> list[Camera]:
        """The cameras that are served."""
        return self._running.cameras

    @property
    def model(self) -> Model:
        """The model that is served; of several, the first."""
        return self._running.networks.first.model

    @property
    def hanging(self) -> list[str]:
        """The threads that a library held when `run` ended."""
        names = [thread.name for thread in threading.enumerate()]
        left = [name for name in names if name.startswith(LIBRARY_THREADS)]
        return left + ([] if self._computed else ["runtime"]) + (["reload"] if self._reloader.under_way else [])

    def run(self) -> None:
        """Serve until `stop`, or until every source has ended for good.

        EdgeTdnError: no source could be played at all, or a thread that all need has failed; this one, too.
        """
        try:
            self._start()
            self._serve()
        except Exception as error:  # a fault in the code, or no more threads: what was decided must not be lost
            self._fail_loop(error)
        finally:
            systemd_notify.stopping()
            self._shut_down()
            self._watchdog.close()
        failure = self._failure_of_all
        if failure:
            raise _as_edge_tdn_error(failure) from self._failure

    def stop(self) -> None:
        """End `run`. From any thread."""
        self._stop.set()
        self._woken.set()

    def reload(self) -> None:
        """Have the configuration read again, soon; once more if it is being read. From any thread."""
        self._reloader.request()

    def _start(self) -> None:
        running, shared = self._running, self._running.shared
        shared.publisher.start()
        shared.scheduler.start()
        running.start(running.cameras)
        log.info(
            "serving host=%s topics=%s/... broker=%s:%d model=%s cameras=%s",
            running.config.host,
            running.config.base_topic,
            *running.config.broker.address,
            ",".join(network.ref.id for network in running.networks.all),
            ",".join(camera.name for camera in running.cameras),
        )
        if self._metrics:
            self._metrics.start()
        if self.page:
            self.page.start()
            self.page.announce()

    def _serve(self) -> None:
        publisher, reloader, timing = self._running.shared.publisher, self._reloader, self._timing
        published_s, before = float("-inf"), None  # the last status of the daemon: when, and what was in it
        in_force = reloader.status  # of the configuration that was last in force
        systemd_notify.ready()
        while not self._stop.is_set():
            flush_rate_limited()
            reloader.poll()
            if not reloader.under_way and not any(camera.running for camera in self.cameras):
                return
            networks = self._running.networks.all
            states = (
                publisher.delivery.state,
                publisher.outbox_status.state,
                reloader.status,
                [network.runtime.status for network in networks],
                self._faults,
            )
            if reloader.status is not in_force and reloader.status.state == "in_force":
                in_force = reloader.status
                if self.page:
                    self.page.renew()
                    self.page.announce()  # the one before may have scrolled out of the log
            if states != before or time.monotonic() - published_s >= timing.life_every_s:
                published_s, before = time.monotonic(), states
                status = self._status()
                publisher.daemon_status(status)
                if self._hub:
                    self._hub.publish("host", status.json_bytes)
                trim()
            for camera in self.cameras:
                camera.publish_status()
            self._notify_systemd()
            self._woken.wait(min(timing.status_every_s, self._watchdog.period_s))
            self._woken.clear()

    @property
    def _failure_of_all(self) -> BaseException | None:
        """The failure of a thread that all need, or of every camera; None if the daemon did not fail."""
        failures = [camera.failure for camera in self.cameras if camera.failure]
        return self._failure or (failures[0] if len(failures) == len(self.cameras) else None)

    def _notify_systemd(self) -> None:
        healthy = self._watchdog.look()
        line = status_line(self._running, self._reloader.status, self._faults)
        if healthy and self._reloader.under_way:
            systemd_notify.extend(self._watchdog.period_s, line)  # else systemd takes the reload for failed
        else:
            systemd_notify.status(line)

    def _shut_down(self) -> None:
        """Stop everything, in the order of the data, within the time that a stop has."""
        running, shared, timing = self._running, self._running.shared, self._timing
        deadline = time.monotonic() + timing.change_s
        if self.page:
            self.page.stop()
        if self._hub:
            self._hub.end_teaching()
        changing = self._reloader.changing
        settled = changing.acquire(timeout=timing.change_s)  # else a reload still changes what runs
        for camera in running.cameras:
            camera.stop()
        deadline += timing.join_s
        join_all(running.cameras, deadline)
        deadline += timing.compute_s
        drop = self._stop.is_set()
        self._computed = shared.scheduler.stop(drop, max(0.0, deadline - time.monotonic()) if drop else None)
        finish_recorders([camera.recorder for camera in running.cameras], timing.record_s)
        try:
            for camera in running.cameras:
                camera.publish_status()
            if self._failure:
                shared.publisher.daemon_status(self._status())
        except Exception as error:  # a fault in the code: the events are still to be sent
            self._fail_loop(error)
        # before the metrics: a scraper that hangs must not hold up the goodbye
        shared.publisher.stop(failed=self._failure_of_all is not None, remove=self._temporary)
        if self._metrics:
            self._metrics.close()
        if self.page:
            self.page.join(timing.page_s)
        if self._computed and settled:
            for network in running.open_networks:
                network.runtime.close()
        if settled:
            changing.release()  # a reload that has come so far finds that it is too late
        flush_rate_limited(final=True)

    def _fail(self, error: BaseException) -> None:
        """Stop, because a thread that all need has failed. On that thread."""
        self._failure = self._failure or error
        self.stop()

    def _fail_loop(self, error: Exception) -> None:
        """Stop, because of a fault of the main loop. On its thread."""
        log.error("main loop failed", exc_info=error)
        self._fail(error)

    def _fail_runtime(self, error: BaseException) -> None:
        """Stop, because the runtime thread has failed. On that thread."""
        runtimes = [network.runtime for network in self._running.networks.all]
        if is_out_of_memory(error) and not isinstance(error, DeviceError):
            error = out_of_memory(runtimes[0].device, f"computing a clip: {last_line(error)}")
        reason = f"runtime failed: {with_type(error)}"
        for runtime in runtimes:
            runtime.report("failed", reason)
        self._fail(DeviceError(reason) if isinstance(error, DeviceError) else EdgeTdnError(reason))

    def _status(self) -> DaemonStatus:
        return daemon_status(self._running, self._reloader.status, self._started_ns, self._faults)

    @property
    def _faults(self) -> EndpointFaults:
        return EndpointFaults(self._metrics.fault if self._metrics else "", self.page.fault if self.page else "")


def _open_page(config: Config, base: Path, hub: Hub | None, open_page: OpenPage | None) -> Page | None:
    """Return the page, not started yet; None where it is off. ConfigError: it cannot be opened."""
    if not (hub and open_page):
        return None
    check_installed(config)
    check_label_folder(config, base)
    return open_page(config, base, hub)


def _open_teaching(running: Running, reloader: Reloader, hub: Hub) -> Teaching:
    from edge_tdn.service.teach import open_teaching  # only where the page is looked at

    return open_teaching(running, reloader.request, hub)


class _MetricsServer(Protocol):
    """The metrics endpoint: see metrics.py."""

    fault: str

    def start(self) -> None: ...

    def close(self) -> None: ...

    def observe(self, camera: str, stage: str, seconds: float) -> None: ...


def _open_metrics(
    config: Config,
    cameras: Callable[[], list[Camera]],
    daemon: Callable[[], DaemonStatus],
    timing: MetricsTiming,
) -> _MetricsServer | None:
    """Return the metrics endpoint, not started yet; None where it is off. ConfigError: its address is wrong."""
    if not config.metrics.port:
        return None
    from edge_tdn.service.metrics import Metrics  # 1 MB, and a web server

    return Metrics(config, lambda: [camera.status() for camera in cameras()], daemon, timing)


def _as_edge_tdn_error(failure: BaseException) -> EdgeTdnError:
    if isinstance(failure, EdgeTdnError):
        return failure
    return EdgeTdnError(f"stopped: {with_type(failure)}; the log says where")
