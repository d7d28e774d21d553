"""The parts of a running daemon: one scheduler, one publisher, any number of cameras and networks."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_tdn.actions.labels import for_model, rules
from edge_tdn.config.credentials import Access
from edge_tdn.config.resolved_zones import ResolvedZone, all_zones, resolved_zones
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.delivery.home_assistant import BIRTH_TOPIC, documents
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.removed_entities import removing
from edge_tdn.delivery.stopwatch import Observe
from edge_tdn.hub.hub import Hub
from edge_tdn.hub.teaching_access import TeachingRefused
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.networks import NetworkOpener, OpenedNetworks
from edge_tdn.recording.action_recorder import ActionRecorder
from edge_tdn.service.camera import Camera
from edge_tdn.service.camera_settings import CameraSettings, ZoneSettings
from edge_tdn.service.control import Control
from edge_tdn.service.timing import DaemonTiming
from edge_tdn.spelling import nearest


@dataclass(frozen=True, eq=False)
class Shared:
    """The parts that all cameras share until the daemon ends."""

    networks: NetworkOpener
    boot: str  # random, new with every start of the daemon
    publisher: Publisher
    scheduler: Scheduler
    control: Control
    observe: Observe | None = None  # called with the seconds that each stage of a clip took
    hub: Hub | None = None  # None: there is no page


class Running:
    """The configuration, the networks and the cameras that are served now.

    A reload replaces the attributes, each as one value, on its own thread and only while it holds `Reloader.changing`;
    other threads read one at a time.
    """

    def __init__(
        self,
        shared: Shared,
        config: Config,
        access: Access,
        networks: OpenedNetworks,
        timing: DaemonTiming,
        stop: threading.Event,
    ) -> None:
        """`stop`: set when the daemon stops."""
        self.shared = shared
        self.config, self.access = config, access
        self.pending: Config | None = None  # the configuration that a failed reload brought into force in part
        self.networks = networks
        self.open_networks = networks.all  # these, and earlier ones that lanes still use
        self.timing = timing
        self._stop = stop
        self._documents: dict[str, bytes] = {}  # that were published last, by topic
        self.cameras: list[Camera] = []
        self.make_room(config)
        self.serve([self.new_camera(table, config) for table in config.camera])

    def camera(self, name: str) -> Camera:
        """Return a camera by its name, for the page. TeachingRefused: it is not served, or not any more."""
        cameras = {camera.name: camera for camera in self.cameras}
        if name not in cameras:
            raise TeachingRefused(f"there is no camera {name!r} in the configuration; {nearest(name, list(cameras))}")
        return cameras[name]

    def settings(self, table: CameraConfig, config: Config, networks: OpenedNetworks) -> CameraSettings:
        """Return the settings of a camera with this table, under a configuration and its networks."""
        zones = []
        for zone in resolved_zones(config, table):
            network = networks.of(zone.choice)
            zones.append(
                ZoneSettings.of(config, table.name, zone, self.shared.boot, network.model, network.ref, network.engine)
            )
        return CameraSettings(table, config, self.shared.networks.base, tuple(zones), self.timing.camera)

    def new_camera(self, table: CameraConfig, config: Config) -> Camera:
        """Return a camera with this table. It is not started yet."""
        settings = self.settings(table, config, self.networks)
        return Camera(settings, self.shared.scheduler, self.shared.publisher, self.shared.observe, self.shared.hub)

    def make_room(self, config: Config) -> None:
        """Divide the room for scores that the page shows among the zones of a configuration."""
        if self.shared.hub:
            self.shared.hub.zones = sum(1 for _ in all_zones(config))

    def serve(self, cameras: Sequence[Camera]) -> None:
        """Make these the daemon's cameras. They are not started yet."""
        self.cameras = list(cameras)
        self.shared.control.serve(self.cameras)
        if self.shared.hub:
            self.shared.hub.serve([camera.name for camera in self.cameras])

    def start(self, cameras: Sequence[Camera]) -> None:
        """Start cameras, unless the daemon is stopping: a stop that has begun does not know them."""
        for camera in cameras:
            if not self._stop.is_set():
                camera.start()

    def announce(self, config: Config) -> None:
        """Publish the documents from which Home Assistant finds the cameras, and remove what has left."""
        labels = {(camera.name, zone.name): self._labels(zone) for camera, zone in all_zones(config)}
        self._documents = removing(documents(config, labels), self._documents)
        self.shared.publisher.announce(
            self._documents,
            BIRTH_TOPIC,
            [camera.name for camera in config.camera],
            config.record.snapshot,
            [(camera, zone) for camera, zone in labels if zone],
        )

    def _labels(self, zone: ResolvedZone) -> list[str]:
        """Return the names of the actions that are reported in a zone."""
        model = self.networks.of(zone.choice).model
        labels, background = model.labels, model.manifest.background
        return list(rules(for_model(zone.decide, labels, background), labels, background))


class Joinable(Protocol):
    """Something with a thread that ends."""

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long."""


def join_all(parts: Sequence[Joinable], deadline: float) -> None:
    """Wait until the threads of all have ended, together at most until `deadline`, in monotonic seconds."""
    for part in parts:
        part.join(max(0.0, deadline - time.monotonic()))


def finish_recorders(recorders: Sequence[ActionRecorder | None], within_s: float) -> None:
    """Have all recorders finish their files, together within this time."""
    recording = [recorder for recorder in recorders if recorder]
    for recorder in recording:
        recorder.close()
    join_all(recording, time.monotonic() + within_s)
