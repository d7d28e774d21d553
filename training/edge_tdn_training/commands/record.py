"""`edge-tdn-train record`: clips of one action, cut from a live camera, with a countdown before each.

The pictures come from the same source as the daemon's, and keep their times. A clip that is interrupted by a stop or a
lost connection is deleted, and recorded again. All clips of one call are of one recording, by their names and
`dataset.toml`, so that none of them is evaluated on while others are trained on.
"""

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from edge_tdn_export.clips import MAX_GAP_S
from edge_tdn_export.convert.model_folder import write_at_once
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from edge_tdn.capture.open_capture import verify
from edge_tdn.capture.source import Source
from edge_tdn.config.load import load
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import ConfigError, EdgeTdnError, SourceError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.manifest import model_id
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import LIVE_ENCODERS, VideoWriter
from edge_tdn.messages import NS_PER_S, Frame, Rgbx, State
from edge_tdn.shell import command
from edge_tdn.spelling import nearest
from edge_tdn_training.data.dataset import class_name
from edge_tdn_training.data.description import DESCRIPTION, recordings

SESSION = "%Y%m%dT%H%M%SZ"  # start of the names of all clips of one call
ONE_RECORDING = "source = '([0-9]{8}T[0-9]{6}Z)-[0-9]+'  # clips of one call of edge-tdn-train record\n"
FINISH_TIMEOUT_S = 30.0  # for a slow disk to complete a clip

SCRATCH_SUFFIX = ".part"
MAX_SECONDS = 3600.0  # of a clip, or of a pause

Report = Callable[[str, float], None]  # receives the current activity, and the share of it that is done

HELP = CommandHelp(
    description="""\
Record clips of one action from a live camera, with a countdown before each; the terminal rings at each start and end.
Use it first when you teach an action of your own: record the action, then the class `background`, which is everything
else that this camera sees, then `finetune`.

Record on several days, in other light, with other people: each call is one recording, and a model is evaluated on
recordings that it was not trained on.
""",
    examples=(
        Example(
            "ten clips of three seconds, with a countdown of three before each",
            'edge-tdn-train record --source rtsp://192.168.1.20/stream --label "door open" --out clips',
        ),
        Example(
            "ten minutes of the class background",
            "edge-tdn-train record --source rtsp://192.168.1.20/stream --label background --out clips --count 60 "
            "--seconds 10 --pause 0",
        ),
        Example(
            "a camera of a host's configuration, with its password, rotation and region",
            "edge-tdn-train record --config site.toml --source front-door --label wave --out clips",
        ),
    ),
    exit_status={
        0: "recorded",
        66: "the source cannot be played, or ended too soon",
        78: "name or options are wrong",
    },
)


@dataclass(frozen=True)
class RecordingPlan:
    """The clips to record."""

    folder: Path  # of the class
    session: str  # start of the names of all clips
    count: int
    seconds: float  # of each clip
    pause: float  # seconds before each

    def clip(self, number: int) -> Path:
        """Return the path of clip `number`, from 1."""
        return self.folder / f"{self.session}-{number:03}.mp4"

    def remove_unfinished(self) -> None:
        """Delete the files of clips that were not completed."""
        for path in self.folder.glob(f".{self.session}-*{SCRATCH_SUFFIX}"):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def add_parser(commands: Commands, summary: str) -> None:
    """Add the subcommand `record`."""
    parser = add_command(commands, "record", run, summary, HELP, stopped="stopped; no clip recorded")
    parser.add_argument(
        "--source",
        required=True,
        metavar="CAMERA",
        help="rtsp://, http(s)://, /dev/video*, file, gst: PIPELINE; or with --config a camera's name",
    )
    parser.add_argument("--config", type=Path, metavar="TOML", help="the configuration of the camera")
    parser.add_argument(
        "--label", required=True, metavar="NAME", help="action that the clips show: the name of their folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder with a folder for each class")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each clip, seconds (default: 3)")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="number of clips (default: 10)")
    parser.add_argument(
        "--pause", type=float, default=3.0, metavar="SECONDS", help="countdown before each clip (default: 3)"
    )


def run(options: argparse.Namespace) -> int:
    """Record; return the exit status. EdgeTdnError: name, options, source or disk; finished clips stay."""
    plan = _plan(options)
    camera, base = _camera(options)
    verify(camera, base)
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    if forgotten := _prepare(options.out, plan):
        console.print(forgotten)
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    made = 0
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=1.0)
            report = lambda what, share: progress.update(bar, description=what, completed=share)  # noqa: E731
            frames = Source(camera, base, lambda state, reason: _print_state(console, state, reason)).frames(
                threading.Event()
            )
            with closing(frames):  # type: ignore[type-var]
                for path in record(frames, plan, report, console.bell):
                    made += 1
                    console.print(f"{path}: {plan.seconds:g} s", style="green")
    except KeyboardInterrupt:
        console.print(f"stopped; {made} of {plan.count} clip(s) recorded")
        return 130
    finally:
        with suppress(OSError):  # it stays if it contains a clip
            plan.folder.rmdir()
    if made < plan.count:
        where = f"; they are in {plan.folder}" if made else ""
        raise SourceError(f"the source ended after {made} of {plan.count} clip(s){where}", "ended")
    model = Path("models", model_id(options.out.resolve().name))
    finetune = command("edge-tdn-train", "finetune", "--data", options.out, "--out", model)
    console.print(f"{made} clip(s) of one recording in {plan.folder}; when all classes are recorded: {finetune}")
    return 0


def record(
    frames: Iterator[Frame],
    plan: RecordingPlan,
    report: Report = lambda what, share: None,
    ring: Callable[[], object] = lambda: None,
) -> Iterator[Path]:
    """Yield each clip when its file is complete; return early when the frames end.

    `report` is called with every frame, `ring` at the start and end of a clip. EdgeTdnError: a clip cannot be written.
    """
    number, stream, from_ns, last_ns = 1, None, 0, 0
    clip: _Clip | None = None
    try:
        for frame in frames:
            if frame.stream != stream or frame.pts_ns - last_ns > MAX_GAP_S * NS_PER_S:  # a gap in the stream
                if clip:
                    clip.discard()
                clip = None
                stream, from_ns = frame.stream, frame.pts_ns + round(plan.pause * NS_PER_S)
            last_ns = frame.pts_ns
            name = f"clip {number} of {plan.count}"
            if frame.pts_ns < from_ns:
                left_s = (from_ns - frame.pts_ns) / NS_PER_S
                report(f"{name}: get ready, {ceil(left_s)}", 1 - left_s / plan.pause)
                continue
            if clip is None:
                clip = _Clip(plan.clip(number), frame)
                ring()
            clip.write(frame)
            done_s = (frame.pts_ns - clip.from_ns) / NS_PER_S
            report(f"{name}: recording", done_s / plan.seconds)
            if done_s < plan.seconds:
                continue
            ring()
            yield clip.keep()
            clip = None
            if number == plan.count:
                return
            number, from_ns = number + 1, frame.pts_ns + round(plan.pause * NS_PER_S)
    finally:
        if clip:
            clip.discard()
        plan.remove_unfinished()  # a stop may come before `clip` is assigned


class _Clip:
    """A video file that gets its name when it is complete."""

    def __init__(self, path: Path, first: Frame) -> None:
        self._path, self.from_ns = path, first.pts_ns
        self._scratch = path.with_name(f".{path.name}{SCRATCH_SUFFIX}")
        self._writer = VideoWriter(self._scratch, LIVE_ENCODERS)
        self._rgbx: Rgbx = np.empty((*first.decoded.size, 4), np.uint8)

    def write(self, frame: Frame) -> None:
        frame.decoded.rgbx(self._rgbx)
        self._writer.write(self._rgbx, frame.pts_ns - self.from_ns)

    def keep(self) -> Path:
        try:
            self._writer.finish(FINISH_TIMEOUT_S)
            with self._scratch.open("rb") as file:
                os.fsync(file.fileno())  # before the name: a power cut must not leave an empty file under it
            return self._scratch.replace(self._path)
        except OSError as error:
            raise EdgeTdnError(f"{self._path}: {error.strerror}") from error
        finally:
            self.discard()

    def discard(self) -> None:
        self._writer.close()
        with suppress(OSError):
            self._scratch.unlink(missing_ok=True)


def _plan(options: argparse.Namespace) -> RecordingPlan:
    if not 0.5 <= options.seconds <= MAX_SECONDS:
        raise ConfigError(f"--seconds {options.seconds:g}: must be from 0.5 to {MAX_SECONDS:g}")
    if options.count < 1:
        raise ConfigError(f"--count {options.count}: must be 1 or more")
    if not 0 <= options.pause <= MAX_SECONDS:
        raise ConfigError(f"--pause {options.pause:g}: must be from 0 to {MAX_SECONDS:g}")
    if "/" in options.label or options.label.startswith(".") or not options.label:
        raise ConfigError(f"--label {options.label!r}: not a valid folder name: use no / and no dot at its start")
    folder = options.out / options.label
    class_name(folder)
    return RecordingPlan(folder, time.strftime(SESSION, time.gmtime()), options.count, options.seconds, options.pause)


def _camera(options: argparse.Namespace) -> tuple[CameraConfig, Path]:
    """Return the camera, and the folder that its relative paths refer to."""
    if not gstreamer.available():
        raise ConfigError(gstreamer.how_to_install())
    if options.config:
        cameras = {camera.name: camera for camera in load(options.config).camera}
        if options.source not in cameras:
            near = nearest(options.source, cameras, "there are")
            raise ConfigError(f"--source {options.source}: not a camera of {options.config}; {near}")
        return cameras[options.source], options.config.parent
    try:
        return CameraConfig(name="camera", source=options.source), Path.cwd()
    except ValidationError as error:
        raise ConfigError(f"--source: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def _prepare(out: Path, plan: RecordingPlan) -> str:
    """Create the class's folder, and `dataset.toml` with the rule that these clips are of one recording.

    An existing `dataset.toml` is not changed: if it has another rule, return a note on what to write there.
    """
    described = (out / DESCRIPTION).exists()
    of = recordings(out) if described else Path.as_posix
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{plan.folder}: {error.strerror}; choose another folder with --out") from error
    if not described:
        write_at_once(out / DESCRIPTION, ONE_RECORDING.encode())
    elif of(plan.clip(1)) != of(plan.clip(2)):
        return (
            f"{out / DESCRIPTION} does not define these clips as one recording: some would be evaluated on while "
            f"others are trained on; change its `source`, or if it has none, add this line at the top:\n{ONE_RECORDING}"
        )
    return ""


def _print_state(console: Console, state: State, reason: str) -> None:
    if state not in ("streaming", "ended"):
        console.print(f"{state}{f': {reason}' if reason else ''}")
