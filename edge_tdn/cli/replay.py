"""`edge-tdn replay`: a recording through the chain of a configuration, as fast as it can be computed.

The stages are those of a served camera; only the clock is the recording's own. A frame arrives at its presentation
timestamp, a clip is scored in no time, and the wall clock begins at a moment that the caller says: every run gives the
same events, byte for byte.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.actions.labels import check_names
from edge_tdn.capture.address import is_live, locate
from edge_tdn.capture.video_file import length_s, read_file
from edge_tdn.cli.plot import Judged, plot, require_matplotlib
from edge_tdn.config.tables import CameraConfig, Config, load
from edge_tdn.demo.demo_clip import DEMO, demo_clip
from edge_tdn.errors import ConfigError, EdgeTdnError, SourceError
from edge_tdn.inference.open_model import open_configured_model, open_configured_runtime, warn_unless_proven
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.scheduler import Item, Lane, compute
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, Frame, Scores, Segment
from edge_tdn.process.passwords import without_password
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window
from edge_tdn.spelling import nearest

BOOT = "replay"  # in the ids of the events, where a daemon has something random


class Replay:
    """One camera's chain, without threads and in no hurry. Gathers what came of each clip; see `play`."""

    def __init__(self, config: Config, camera: CameraConfig, model: Model, runtime: Runtime, at_ns: int = 0) -> None:
        """`at_ns`: what the wall clock shows at the recording's beginning, nanoseconds since 1970 UTC."""
        spec = model.manifest.input
        origin = Origin(config.host, camera.name, BOOT, model.ref(config.runtime.precision))
        self._runtime, self._at_ns = runtime, at_ns
        self._window = Window(spec, camera.max_gap_s, gate=MotionGate() if camera.motion_gate else None)
        self._lane = Lane(runtime.ring(), spec, camera.hop, self._scored, self._broken)
        self._decider = Decider(config.decide, origin, model.labels, model.manifest.background)
        self._told: list[ActionEvent] = []  # since the last frame
        self.thresholds = self._decider.thresholds  # name of the action -> enter, exit threshold
        self.judged: list[Judged] = []
        self.seconds = 0.0  # of the recording, so far

    def play(self, frames: Iterable[Frame]) -> Iterator[ActionEvent]:
        """The events, in order, as they are told."""
        for frame in frames:
            self.seconds = frame.pts_ns / NS_PER_S
            yield from self._take(replace(frame, received_ns=frame.pts_ns, wall_ns=self._at_ns + frame.pts_ns))
        yield from self._compute("stream_lost")

    def _take(self, frame: Frame) -> Iterator[ActionEvent]:
        runs = self._window.runs
        segments: list[Segment] = self._window.push(frame)
        if 0 < runs < self._window.runs:  # the window was emptied: by a gap, or another size
            yield from self._compute("stream_lost")
        for segment in segments:
            yield from self._compute(segment)

    def _compute(self, item: Item) -> list[ActionEvent]:
        """One at a time, as on a host that always keeps up."""
        compute(self._runtime, [(self._lane, [item])])
        told, self._told = self._told, []
        return told

    def _scored(self, scores: Scores) -> None:
        self._told += self._decider.push(scores)
        self.judged.append(Judged(scores.to_ns / NS_PER_S, self._decider.scores))

    def _broken(self, reason: EndReason) -> None:
        self._told += self._decider.break_off(reason)
        if self.judged:
            self.judged.append(Judged(self.judged[-1].seconds, {}))


def replay(
    console: Console,
    path: Path,
    file: str,
    name: str | None = None,
    at_ns: int = 0,
    log: Path | None = None,
    picture: Path | None = None,
) -> None:
    """Plays `file` as the source of one camera of the configuration at `path`; what there is to say goes to `console`.

    Its events become JSON lines on stdout, or in the file `log`; `picture` (PNG) shows scores and events over time.
    ConfigError, ModelError: as of `edge-tdn run`. SourceError: the file cannot be played.
    """
    for out in (log, picture):
        if out and not (folder := Path(os.path.realpath(out)).parent).is_dir():
            raise EdgeTdnError(f"{out}: there is no folder {folder}")
        if out and out.is_dir():
            raise EdgeTdnError(f"{out} is a folder; a file is wanted")
    if picture:
        if picture.suffix.lower() not in ("", ".png"):
            raise EdgeTdnError(f"{picture}: --plot writes a PNG; a name that ends in .png is wanted")
        require_matplotlib()
    config = load(path)
    camera = _camera(console, config, path, name)
    video = demo_clip() if file == DEMO else Path(file)
    if is_live(file) or is_live(locate(str(video.resolve()), Path())):
        raise SourceError(f"{without_password(file)}: no recording; a video file is wanted")
    model = open_configured_model(config, path.parent)
    check_names(config, model.labels, model.manifest.background)
    with closing(open_configured_runtime(config, model)) as runtime:
        warn_unless_proven(model, runtime.precision, runtime.device)
        one = Replay(config, camera, model, runtime, at_ns)
        began, events = time.monotonic(), list[ActionEvent]()
        frames = read_file(video, camera.decoder, camera.rotate, camera.region)
        for event in one.play(_shown(console, frames, video, camera)):
            events.append(event)
            if not log:
                print(event.json_bytes().decode(), flush=True)  # noqa: T201  (plain, for pipes)
        took_s = time.monotonic() - began
    if not one.seconds:
        raise SourceError(f"{video}: a single picture, no recording; a video file is wanted")
    if log:
        _write(log, b"".join(event.json_bytes() + b"\n" for event in events))
    if picture:
        title = f"{video.name} as camera {camera.name}, model {model.manifest.id}"
        _write(picture, plot(title, one.judged, one.thresholds, events, at_ns))
    if not one.judged:
        spec = model.manifest.input
        console.print(f"no clip: nothing in it is unbroken for {spec.ticks / spec.frame_rate:.1f} s")
    starts = Counter(event.label for event in events if event.type == "start")
    console.print(
        f"{one.seconds:.1f} s of video in {took_s:.1f} s: {one.seconds / took_s:.1f} times real time\n"
        f"actions recognised: {', '.join(f'{label} {count}' for label, count in starts.items()) or 'none'}"
    )


def _camera(console: Console, config: Config, path: Path, name: str | None) -> CameraConfig:
    """The camera of this name, or the first. ConfigError: there is none of this name."""
    cameras = {camera.name: camera for camera in config.camera}
    if name is None:
        first = config.camera[0]
        if len(cameras) > 1:
            console.print(f"as camera {first.name}, the first of {len(cameras)}; --camera NAME takes another")
        return first
    if name not in cameras:
        raise ConfigError(f"{path}: no camera is named {name!r}; {nearest(name, cameras, 'there are')}")
    return cameras[name]


def _shown(console: Console, frames: Iterator[Frame], video: Path, camera: CameraConfig) -> Iterator[Frame]:
    """The frames; on a terminal, how far they are."""
    if not console.is_terminal:
        yield from frames
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} s"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(video.name, total=length_s(video, camera.decoder))
        for frame in frames:
            progress.update(task, completed=frame.pts_ns / NS_PER_S)
            yield frame


def _write(path: Path, content: bytes) -> None:
    """A file whole or not at all; a device or a pipe stays what it is."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path = Path(os.path.realpath(path))  # a link stays one
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
