"""`edge-tdn record` at work: the camera, the clips, and the commands that come next."""

import argparse
import shlex
import signal
import threading
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from edge_tdn.capture.open_capture import verify
from edge_tdn.capture.source import Source
from edge_tdn.capture.zone_view import seen_in
from edge_tdn.cli.chosen_camera import ChosenCamera, chosen_camera
from edge_tdn.cli.console import plain_console
from edge_tdn.config.resolved_zones import ResolvedZone
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.manifest import model_id
from edge_tdn.media import gstreamer
from edge_tdn.media.outline import Outline
from edge_tdn.messages import State
from edge_tdn.process.passwords import without_password
from edge_tdn.process.program import INTERRUPTED
from edge_tdn.shell import command, remote_path
from edge_tdn.teaching.class_folder import (
    BACKGROUND,
    FOLDER_NAMES,
    class_name,
    count_clips,
    describe_recording,
    is_background,
    is_folder_name,
    open_class,
)
from edge_tdn.teaching.clip_cutter import RecordingPlan, cut_clips

MAX_SECONDS = 3600.0  # of a clip, or of a pause
EXAMPLE = "door open"
OTHER_DAYS = "Record again on other days: a model is evaluated on recordings that it was not trained on."


def record(options: argparse.Namespace, count: int, seconds: float, pause: float) -> int:
    """Record; return the exit status. The numbers apply where the options have none; see RecordingPlan.

    EdgeTdnError: name, options, source or disk; finished clips stay.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: an unfinished clip is deleted
    folder = _class_folder(options)
    numbers = _numbers(options, count, seconds, pause)
    if not gstreamer.available():
        raise ConfigError(gstreamer.how_to_install())
    camera = chosen_camera(options.source, options.config, "--source ")
    zone = camera.zone(options.zone) if options.zone else None
    verify(camera.table, camera.base)
    with open_class(folder) as session:
        return _record(options, RecordingPlan(folder, session, *numbers, camera.table.max_gap_s), camera, zone)


def _record(options: argparse.Namespace, plan: RecordingPlan, camera: ChosenCamera, zone: ResolvedZone | None) -> int:
    """Record the clips of a plan; return the exit status."""
    console = plain_console(stderr=True, soft_wrap=True)
    if forgotten := describe_recording(plan.folder, plan.clip(1).name, plan.clip(2).name):
        console.print(forgotten)
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    made = 0
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=1.0)
            report = lambda now: progress.update(bar, description=now.text, completed=now.share)  # noqa: E731
            source = Source(camera.table, camera.base, lambda state, reason: _print_state(console, state, reason))
            with closing(source.frames(threading.Event())) as frames:  # type: ignore[type-var]
                shown = seen_in(Outline.of(zone), frames, zone.display_name) if zone else frames
                for path in cut_clips(shown, plan, report, console.bell):
                    made += 1
                    console.print(f"{path}: {plan.seconds:g} s", style="green")
    except KeyboardInterrupt:
        console.print(f"stopped; {made} of {plan.count} clip(s) recorded")
        return INTERRUPTED
    if made < plan.count:
        where = f"; they are in {plan.folder}" if made else ""
        raise SourceError(f"the source ended after {made} of {plan.count} clip(s){where}", "ended")
    for line in (f"{made} clip(s) of one recording in {plan.folder}", *_next_steps(options)):
        console.print(line)
    return 0


def _next_steps(options: argparse.Namespace) -> list[str]:
    """Return the lines that name the class that is still missing, or how to train; each command is a line."""
    found = count_clips(options.out)
    actions = [label for label in found if not is_background(label)]
    if not actions:
        return [f"next, an action (its name in place of {EXAMPLE!r}):", *_again(options, EXAMPLE)]
    if len(actions) == len(found):
        return [
            f"next, the class {BACKGROUND}: everything else that this camera sees, on a usual day. Without it a model "
            f"takes everything for {' or '.join(map(repr, actions[:3]))}:",
            *_again(options, BACKGROUND),
        ]
    name = model_id(actions[0] if len(actions) == 1 else options.out.resolve().name)
    model = next(
        path for n in range(1, 1000) if not (path := Path("models", f"{name}-{n}" if n > 1 else name)).exists()
    )
    counts = ", ".join(f"{label!r} {count}" for label, count in found.items())
    in_zone = [f"the clips show zone {options.zone}: name the model in its table, not in [runtime]"]
    after = in_zone if options.zone else []
    if find_spec("torch"):
        return [
            f"next, the training (clips: {counts}). {OTHER_DAYS}",
            f"  {command('edge-tdn-train', 'finetune', '--data', options.out, '--out', model)}",
            *after,
        ]
    return [
        f"next, the training (clips: {counts}), on a machine with PyTorch, which this one does not have. {OTHER_DAYS}",
        *_elsewhere(options.out.resolve(), model),
        *after,
    ]


def _again(options: argparse.Namespace, label: str) -> list[str]:
    """Return the command that records another class with the same camera; a password in it is not shown.

    Length and number of the clips are left to the defaults: those of an action do not suit the background.
    """
    source = without_password(options.source)
    words: list[str | Path] = ["--source", source]
    words += ["--config", options.config] if options.config else []
    words += ["--zone", options.zone] if options.zone else []
    words += ["--label", label, "--out", options.out]
    hidden = ["  (with the camera's password in place of ***)"] if source != options.source else []
    return [f"  {command('edge-tdn', 'record', *words)}", *hidden]


def _elsewhere(clips: Path, model: Path) -> list[str]:
    """Return the commands that fetch the clips to another machine and train there."""
    return [
        f"  {shlex.join(['scp', '-r', remote_path(clips), '.'])}",
        f"  {shlex.join(['edge-tdn-train', 'finetune', f'--data={clips.name}', f'--out={model}'])}",
    ]


def _class_folder(options: argparse.Namespace) -> Path:
    """Return the folder of the label. ConfigError: the label is not a valid name."""
    if not is_folder_name(options.label):
        raise ConfigError(f"--label {options.label!r}: {FOLDER_NAMES}")
    folder: Path = options.out / options.label
    class_name(folder)
    return folder


def _numbers(options: argparse.Namespace, count: int, seconds: float, pause: float) -> tuple[int, float, float]:
    """Return number and length of the clips, and the pause before each. ConfigError: one is out of its range."""
    count = count if options.count is None else options.count
    seconds = seconds if options.seconds is None else options.seconds
    pause = pause if options.pause is None else options.pause
    if not 0.5 <= seconds <= MAX_SECONDS:
        raise ConfigError(f"--seconds {seconds:g}: must be from 0.5 to {MAX_SECONDS:g}")
    if count < 1:
        raise ConfigError(f"--count {count}: must be 1 or more")
    if not 0 <= pause <= MAX_SECONDS:
        raise ConfigError(f"--pause {pause:g}: must be from 0 to {MAX_SECONDS:g}")
    return count, seconds, pause


def _print_state(console: Console, state: State, reason: str) -> None:
    if state not in ("streaming", "ended"):
        console.print(f"{state}{f': {reason}' if reason else ''}")
