"""A recording in place of a camera: the stages of a served camera, with the recording's own clock.

A frame arrives at its presentation timestamp, a clip is scored in no time, and the wall clock starts at a moment that
the caller chooses, so that every run gives the same events, byte for byte.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge_tdn.actions.decider import Origin
from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.capture.video_file import length_s
from edge_tdn.capture.zone_view import ZoneViews
from edge_tdn.config.resolved_zones import ModelChoice, ResolvedZone, resolved_zones
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import ConfigError
from edge_tdn.messages import NS_PER_S, ActionEvent, Frame
from edge_tdn.replay.replay_zone import ReplayNetwork, ReplayZone
from edge_tdn.spelling import nearest

BOOT = "replay"  # in the ids of the events; a daemon has a random one


class ReplayChain:
    """The stages of one camera, without threads, as on a host that always keeps up."""

    def __init__(
        self,
        config: Config,
        camera: CameraConfig,
        networks: Mapping[ModelChoice, ReplayNetwork],
        zones: Sequence[ResolvedZone] = (),
        at_ns: int = 0,
    ) -> None:
        """`zones`: those of the camera that are replayed; none: all. `networks`: of each of them.

        `at_ns`: the wall clock at the start of the recording, nanoseconds since 1970 UTC.
        """
        numbers = EventNumbers()
        self.zones: list[ReplayZone] = []
        for zone in zones or resolved_zones(config, camera):
            network = networks[zone.choice]
            origin = Origin(config.host, camera.name, BOOT, network.model.ref(zone.choice.precision), zone.name)
            self.zones.append(ReplayZone(zone, network, camera.max_gap_s, origin, numbers))
        whole = [one.zone.name for one in self.zones] == [None]
        self._views = None if whole else ZoneViews([one.outline for one in self.zones])
        self._at_ns = at_ns
        self.seconds = 0.0  # of the recording, so far

    def play(self, frames: Iterable[Frame]) -> Iterator[ActionEvent]:
        """Yield the events in the order in which a daemon would publish them. Each zone collects its scores."""
        for frame in frames:
            self.seconds = frame.pts_ns / NS_PER_S
            yield from self._take(replace(frame, received_ns=frame.pts_ns, wall_ns=self._at_ns + frame.pts_ns))
        for zone in self.zones:
            yield from zone.compute("video_ended")

    def _take(self, frame: Frame) -> Iterator[ActionEvent]:
        if self._views is None:
            yield from self.zones[0].push(frame)
            return
        parts = self._views.split(frame)
        for zone, part, reason in zip(self.zones, parts, self._views.too_small, strict=True):
            if part is None:
                zone.too_small = reason
            else:
                yield from zone.push(part)


def choose_camera(console: Console, config: Config, path: Path, name: str | None) -> CameraConfig:
    """Return the camera called `name`, or the first. Raises ConfigError if there is none of this name."""
    cameras = {camera.name: camera for camera in config.camera}
    if name is None:
        first = config.camera[0]
        if len(cameras) > 1:
            console.print(f"as camera {first.name}, the first of {len(cameras)}; --camera NAME takes another")
        return first
    if name not in cameras:
        raise ConfigError(f"{path}: no camera is named {name!r}; {nearest(name, cameras, 'there are')}")
    return cameras[name]


def with_progress(console: Console, frames: Iterator[Frame], video: Path, camera: CameraConfig) -> Iterator[Frame]:
    """Yield the frames, with a progress bar on a terminal."""
    if not console.is_terminal:
        yield from frames
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} s"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(video.name, total=length_s(video, camera.decoder))
        for frame in frames:
            progress.update(task, completed=frame.pts_ns / NS_PER_S)
            yield frame
