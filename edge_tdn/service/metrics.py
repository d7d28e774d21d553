"""The metrics endpoint for Prometheus, http://<address>:<port>/metrics: current statuses, and latencies.

The only file that imports prometheus_client; loaded only when a port is configured.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import HTTPServer
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Histogram, MetricsHandler, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.messages import ConfigState, DeliveryState, OutboxState, RuntimeState, State
from edge_tdn.process.process_usage import start_time_s, usage
from edge_tdn.service.metrics_port import in_use, open_port
from edge_tdn.service.timing import DEFAULT_METRICS_TIMING, MetricsTiming
from edge_tdn.status_messages import CameraStatus, DaemonStatus, ModelStatus

log = logging.getLogger(__name__)

BYTES_PER_MB = 1_000_000
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
COUNTERS = (  # of a camera: name, the status's field, help
    ("frames", "frames", "Frames that the camera delivered"),
    ("connects", "connects", "Times that pictures began to come"),
    ("gaps", "gaps", "Times that the window was emptied: gap, reconnect, other picture size"),
    ("ticks_repeated", "repeated", "Ticks of the model's clock that took the frame before, for want of a new one"),
    ("segments_shed", "shed", "Segments that got no clip of their own because the host was too slow"),
    ("clips", "clips", "Clips scored"),
    ("clips_gated", "gated", "Of these, clips of a still scene, whose scores were repeated"),
)
GAUGES = (
    ("frames_per_second", "fps", "Frames that the camera delivers; 0 while it is not streaming"),
    ("hop_segments", "hop", "Segments between two classified clips, as achieved"),
    ("width_pixels", "width", "Of its pictures"),
    ("height_pixels", "height", "Of its pictures"),
)
ZONE_LABELS = ("camera", "zone")
ZONE_COUNTERS = (  # of a zone, likewise
    ("ticks_repeated", "repeated", "Ticks of the model's clock that took the frame before, for want of a new one"),
    ("segments_shed", "shed", "Segments that got no clip of their own because the host was too slow"),
    ("clips", "clips", "Clips scored"),
    ("clips_gated", "gated", "Of these, clips of a still scene, whose scores were repeated"),
)
ZONE_GAUGES = (
    ("hop_segments", "hop", "Segments between two classified clips, as achieved"),
    ("width_pixels", "width", "Width of the zone in the picture of its camera"),
    ("height_pixels", "height", "Height of the zone in the picture of its camera"),
)


class Metrics:
    """Serves the metrics on a thread of its own, which calls `cameras` and `daemon` at every scrape.

    A port that is in use is tried again by that thread. `_observed` is written by any thread, one operation at a time,
    and read by the serving one, to which `_port` belongs between `start` and `close`; `fault` is read by any; all else
    is fixed.
    """

    def __init__(
        self,
        config: Config,
        cameras: Callable[[], Sequence[CameraStatus]],
        daemon: Callable[[], DaemonStatus],
        timing: MetricsTiming = DEFAULT_METRICS_TIMING,
    ) -> None:
        """Open the port. ConfigError: the address is not available."""
        self._config, self._timing = config, timing
        self._cameras, self._daemon = cameras, daemon
        self._registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._latency = Histogram(
            "edge_tdn_latency_seconds",
            "From one stage of a clip or an event to the next: frame arrived, capture, window, infer, decide, publish, "
            "puback (the broker has it)",
            ("camera", "stage"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._observed: set[tuple[str, str]] = set()  # camera and stage
        self._started_s = start_time_s()  # once: it must not change when the clock is set
        self._registry.register(self)
        self._closing = threading.Event()
        self._port = open_port(config)
        self.fault = "" if self._port else in_use(config)  # why nothing is served; empty: nothing is wrong
        if self.fault:
            log.warning("metrics: %s; tried again every %g s", self.fault, timing.retry_s)
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)

    def start(self) -> None:
        """Start serving, as soon as the port is free."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving, and close the port."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._port:
            self._port.close()

    def _serve(self) -> None:
        """Open the port if it was in use, and serve until `close`. On the thread."""
        while self._port is None:
            if self._closing.wait(self._timing.retry_s):
                return
            self._port = self._reopened()

        class Handler(MetricsHandler):
            timeout = self._timing.client_timeout_s

        server = _Server(self._port, Handler.factory(self._registry))
        server.timeout = self._timing.poll_s
        while not self._closing.is_set():
            server.handle_request()

    def _reopened(self) -> socket.socket | None:
        """Try the port again. Return its socket, or None if it cannot be opened yet."""
        try:
            port = open_port(self._config)
            fault = "" if port else in_use(self._config)
        except ConfigError as error:  # the address has left this host meanwhile
            port, fault = None, str(error)
        if port:
            log.info("metrics: served at %s, the port is free now", self._config.metrics.url)
        elif fault != self.fault:
            log.warning("metrics: %s", fault)
        self.fault = fault
        return port

    def observe(self, camera: str, stage: str, seconds: float) -> None:
        """Count how long a stage of a clip or an event took. From any thread; takes microseconds."""
        self._observed.add((camera, stage))
        self._latency.labels(camera, stage).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now; prometheus_client calls this at every scrape."""
        daemon = self._daemon()
        yield InfoMetricFamily("edge_tdn_build", "Of edge-tdn", {"version": daemon.version})
        yield from _model_metrics(daemon)
        if config := daemon.config:
            help_ = "Whether the configuration file that was read last is in force"
            yield _states("edge_tdn_config_state", help_, ConfigState, {(): config.state})
        yield from _delivery_metrics(daemon)
        yield GaugeMetricFamily("process_start_time_seconds", "When the process started, since 1970", self._started_s)
        for one in usage():
            yield (CounterMetricFamily if one.counts else GaugeMetricFamily)(one.name, one.help, one.value)
        cameras = self._cameras()
        self._remove_all_but({one.camera for one in cameras})
        yield from _camera_metrics(cameras)
        yield from _zone_metrics(cameras)

    def _remove_all_but(self, names: set[str]) -> None:
        """Remove the latencies of cameras that have left, from the next scrape on."""
        for camera, stage in [one for one in self._observed.copy() if one[0] not in names]:
            self._observed.discard((camera, stage))
            self._latency.remove(camera, stage)


def _model_metrics(daemon: DaemonStatus) -> Iterator[Metric]:
    """Yield the metrics of the networks together, and of each one if there are several."""
    about = InfoMetricFamily("edge_tdn_model", "The models that recognise the actions")
    for one in daemon.models:
        about.add_metric([], {**_network_labels(one), "device": one.device, "sha256": one.model.sha256})
    yield about
    help_ = "Times that the network was compiled again after a failure"
    if runtime := daemon.runtime:
        yield _states("edge_tdn_runtime_state", "Whether the network computes", RuntimeState, {(): runtime.state})
        rebuilds = sum(one.runtime.rebuilds for one in daemon.models)
        yield CounterMetricFamily("edge_tdn_runtime_rebuilds", help_, rebuilds)
    if len(daemon.models) < 2:
        return
    labels = ("id", "precision")
    states: dict[tuple[str, ...], str] = {}
    restarts = CounterMetricFamily("edge_tdn_model_rebuilds", help_, labels=labels)
    zones = GaugeMetricFamily("edge_tdn_model_zones", "Cameras and zones that the model serves", labels=labels)
    memory = GaugeMetricFamily("edge_tdn_model_memory_bytes", "Memory that the model took, estimated", labels=labels)
    for one in daemon.models:
        values = tuple(_network_labels(one).values())
        states[values] = one.runtime.state
        restarts.add_metric(values, one.runtime.rebuilds)
        zones.add_metric(values, one.zones)
        memory.add_metric(values, one.memory_mb * BYTES_PER_MB)
    yield _states("edge_tdn_model_state", "Whether the network computes", RuntimeState, states, labels)
    yield from (restarts, zones, memory)


def _network_labels(one: ModelStatus) -> dict[str, str]:
    return {"id": one.model.id, "precision": one.model.precision}


def _delivery_metrics(daemon: DaemonStatus) -> Iterator[Metric]:
    broker, outbox = daemon.delivery, daemon.outbox
    connected = broker.state in ("connected", "degraded")
    yield GaugeMetricFamily("edge_tdn_broker_connected", "Whether there is a connection to the broker", connected)
    yield _states("edge_tdn_broker_state", "How it stands with the broker", DeliveryState, {(): broker.state})
    yield CounterMetricFamily("edge_tdn_broker_connects", "Times that the broker let us in", daemon.connects)
    yield _states("edge_tdn_outbox_state", "Whether the disk takes events", OutboxState, {(): outbox.state})
    yield GaugeMetricFamily("edge_tdn_outbox_events", "Events that the broker has not acknowledged", outbox.waiting)
    yield GaugeMetricFamily("edge_tdn_outbox_bytes", "Of events on the disk, with those kept for replay", outbox.size)
    for name, help_, count in (
        ("delivered", "Events that the broker acknowledged", outbox.delivered),
        ("dropped", "Events given up, being too old or too many, over all starts", outbox.dropped),
        ("lost", "Events that waited in an outbox that was damaged or removed, over all starts", outbox.lost),
    ):
        yield CounterMetricFamily(f"edge_tdn_events_{name}", help_, count)


def _camera_metrics(cameras: Sequence[CameraStatus]) -> Iterator[Metric]:
    states: dict[tuple[str, ...], str] = {(one.camera,): one.state for one in cameras}
    yield _states("edge_tdn_camera_state", "How the camera is", State, states, ("camera",))
    for family, table in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES)):
        for name, field, help_ in table:
            metric = family(f"edge_tdn_camera_{name}", help_, labels=["camera"])
            for one in cameras:
                metric.add_metric([one.camera], getattr(one, field))
            yield metric


def _zone_metrics(cameras: Sequence[CameraStatus]) -> Iterator[Metric]:
    """Yield the metrics of each zone; none if no camera has zones."""
    zones = [((camera.camera, zone.zone), zone) for camera in cameras for zone in camera.zones]
    if not zones:
        return
    for family, table in ((CounterMetricFamily, ZONE_COUNTERS), (GaugeMetricFamily, ZONE_GAUGES)):
        for name, field, help_ in table:
            metric = family(f"edge_tdn_zone_{name}", help_, labels=ZONE_LABELS)
            for values, zone in zones:
                metric.add_metric(values, getattr(zone, field))
            yield metric


def _states(
    name: str, help_: str, known: Any, states: dict[tuple[str, ...], str], labels: tuple[str, ...] = ()
) -> Metric:
    """Return a gauge that is 1 for the current state and 0 for all others. `known`: a Literal of all states."""
    metric = GaugeMetricFamily(name, help_, labels=[*labels, "state"])
    for values, current in states.items():
        for state in get_args(known):
            metric.add_metric([*values, state], state == current)
    return metric


class _Server(HTTPServer):
    """An HTTP server with one thread at a socket that is listening: one scrape at a time."""

    def __init__(self, listening: socket.socket, handler: type[MetricsHandler]) -> None:
        super().__init__(listening.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what fails in a scrape, such as a client that disconnects; it must not end the thread."""
        log.debug("metrics: a scrape failed", exc_info=True)
