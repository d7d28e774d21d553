"""A long video with labelled intervals through the whole chain of a camera: what it would have told, and how well.

The chain is that of `edge-tdn replay`: window, runtime and decision of the daemon, on a host that always keeps up. So a
start delay is the recording's own time, from the beginning of an action to the picture after which a subscriber hears
of it; the milliseconds of computing, which `edge-tdn bench` measures, come on top. matching.py says what counts.

    {"segments": [{"label": "pouring_coffee", "start_s": 9.64, "end_s": 19.2}, ...]}

Seconds count from the video's first picture. What stands in no interval is time in which nothing is to be told.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from edge_tdn.capture.video_file import read_file
from edge_tdn.cli.plot import Judged
from edge_tdn.cli.replay import Replay
from edge_tdn.config.tables import CameraConfig, Config, DecideConfig
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S, ActionEvent, Frame
from edge_tdn_training.data.labels import check_known
from edge_tdn_training.evaluation.matching import Event, Interval, Judgement, judge

LONGEST = 80  # characters of what a file says, in an error
SLACK_S = 0.5  # a container's declared length is that much off at times
Step = Callable[[float], None]


class _Labelled(BaseModel):
    label: str = Field(min_length=1)
    start_s: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
    end_s: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class _Recording(BaseModel):
    segments: list[_Labelled] = Field(min_length=1)


@dataclass(frozen=True)
class Streamed:
    """A video as a camera, and what its events are worth."""

    judgement: Judgement
    scores: tuple[Judged, ...]  # what each clip was judged by
    thresholds: dict[str, tuple[float, float]]  # name of the action -> enter, exit


def read_intervals(path: Path, known: Sequence[str]) -> tuple[Interval, ...]:
    """The labelled intervals of a video, in the order of time. `known`: what the model reports, and its background.

    ConfigError: no such file, no JSON, no `segments`, an interval that ends before it starts, two that overlap, or
    labels that are not known.
    """
    try:
        found = _Recording.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; the JSON with the video's intervals is wanted") from error
    except ValidationError as error:
        fault = error.errors()[0]
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        got = f", got {repr(fault['input'])[:LONGEST]}" if fault["type"] not in ("missing", "json_invalid") else ""
        more = "; a video in which nothing happens is one interval of a background label" if key == "segments" else ""
        raise ConfigError(f"{path}: {key or 'the file'}: {fault['msg']}{got}{more}") from error
    for number, one in enumerate(found.segments):
        if one.end_s <= one.start_s:
            raise ConfigError(
                f"{path}: segments[{number}].end_s: {one.end_s:g} is not after its start_s, {one.start_s:g}; seconds "
                "of the video, the earlier first, are wanted"
            )
    intervals = sorted((Interval(s.label, s.start_s, s.end_s) for s in found.segments), key=lambda one: one.start_s)
    for interval, following in pairwise(intervals):
        if following.start_s < interval.end_s:
            raise ConfigError(
                f"{path}: segments: {_told(interval)} and {_told(following)} overlap; a camera has one action at a "
                "time: one may begin where the other ends"
            )
    check_known(str(path), (interval.label for interval in intervals), known)
    return tuple(intervals)


def _told(interval: Interval) -> str:
    return f"{interval.label!r} ({interval.start_s:g} to {interval.end_s:g} s)"


def check_length(path: Path, intervals: Sequence[Interval], video: Path, seconds: float | None) -> None:
    """ConfigError: the intervals of the file `path` go on after the video's end. `seconds` None: nobody knows it."""
    last = intervals[-1]
    if seconds is not None and last.end_s > seconds + SLACK_S:
        raise ConfigError(
            f"{path}: {_told(last)} ends after {video}, which is {seconds:.1f} s long; are they of the same video?"
        )


def stream(
    model: Model,
    runtime: Runtime,
    video: Path,
    intervals: Sequence[Interval],
    decide: DecideConfig,
    step: Step = lambda _: None,
) -> Streamed:
    """Plays `video` as a camera, and judges what it tells. `step` hears how many seconds are done.

    SourceError: the video cannot be played, or is a single picture.
    """
    camera = CameraConfig(name="recording", source=str(video.resolve()))
    one = Replay(Config(camera=(camera,), decide=decide), camera, model, runtime)
    events = _events(one.play(_counted(read_file(video), step)))
    if not one.seconds:
        raise SourceError(f"{video}: a single picture, no recording; a video file is wanted")
    found = judge(intervals, events, one.seconds, model.manifest.background)
    return Streamed(found, tuple(one.judged), one.thresholds)


def _counted(frames: Iterator[Frame], step: Step) -> Iterator[Frame]:
    for frame in frames:
        step(frame.pts_ns / NS_PER_S)
        yield frame


def _events(told: Iterator[ActionEvent]) -> list[Event]:
    """Of a replay whose wall clock began at 0 and that has come to its end: then every action has one, too."""
    starts: dict[str, ActionEvent] = {}
    events = []
    for event in told:
        if event.type == "start":
            starts[event.id] = event
        elif event.type == "end":
            start = starts.pop(event.id)
            ended_at = str(event.ended_at)
            events.append(Event(event.label, *map(_seconds, (start.started_at, ended_at, start.window.to))))
    assert not starts
    return events


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
