"""A recording in place of a camera: the stages of a served camera, with the recording's own clock.

A frame arrives at its presentation timestamp, a clip is scored in no time, and the wall clock starts at a moment that
the caller chooses, so that every run gives the same events, byte for byte.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.capture.video_file import length_s
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import ConfigError
from edge_tdn.inference.backlog import Item
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.turn import compute
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, Frame, Scores, Segment
from edge_tdn.replay.plot import ScoredClip
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window
from edge_tdn.spelling import nearest

BOOT = "replay"  # in the ids of the events; a daemon has a random one


class ReplayChain:
    """The stages of one camera, without threads, as on a host that always keeps up."""

    def __init__(self, config: Config, camera: CameraConfig, model: Model, runtime: Runtime, at_ns: int = 0) -> None:
        """`at_ns`: the wall clock at the start of the recording, nanoseconds since 1970 UTC."""
        spec = model.manifest.input
        origin = Origin(config.host, camera.name, BOOT, model.ref(config.runtime.precision))
        self._at_ns = at_ns
        self._window = Window(spec, camera.max_gap_s, gate=MotionGate() if camera.motion_gate else None)
        self._lane = Lane(Engine(runtime, spec), camera.hop, self)
        self._decider = Decider(config.decide, origin, model.labels, model.manifest.background)
        self._new_events: list[ActionEvent] = []  # since the last frame
        self.thresholds = self._decider.thresholds  # name of the action -> enter, exit threshold
        self.clips: list[ScoredClip] = []
        self.seconds = 0.0  # of the recording, so far

    def play(self, frames: Iterable[Frame]) -> Iterator[ActionEvent]:
        """Yield the events in the order in which a daemon would publish them. The scores are collected in `clips`."""
        for frame in frames:
            self.seconds = frame.pts_ns / NS_PER_S
            yield from self._take(replace(frame, received_ns=frame.pts_ns, wall_ns=self._at_ns + frame.pts_ns))
        yield from self._compute("video_ended")

    def _take(self, frame: Frame) -> Iterator[ActionEvent]:
        runs = self._window.runs
        segments: list[Segment] = self._window.push(frame)
        if 0 < runs < self._window.runs:  # the window was emptied by a gap or a new picture size
            yield from self._compute("stream_lost")
        for segment in segments:
            yield from self._compute(segment)

    def _compute(self, item: Item) -> list[ActionEvent]:
        compute([(self._lane, [item])])
        events, self._new_events = self._new_events, []
        return events

    def scored(self, scores: Scores) -> None:
        """Take a clip of the lane."""
        self._new_events += self._decider.push(scores)
        self.clips.append(ScoredClip(scores.to_ns / NS_PER_S, self._decider.scores))

    def broken(self, reason: EndReason) -> None:
        """Take a break in the recording."""
        self._new_events += self._decider.break_off(reason)
        if self.clips:
            self.clips.append(ScoredClip(self.clips[-1].seconds, {}))


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
