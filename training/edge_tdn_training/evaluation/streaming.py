"""Play a long video with labelled intervals through the whole chain of a camera, and match its events with them.

The chain is that of `edge-tdn replay`: window, runtime and decision of the daemon, on a host that always keeps up. So a
start delay is the recording's own time, from the beginning of an action to the picture after which its event is
published; the milliseconds of computing, which `edge-tdn bench` measures, come on top. matching.py defines what is
right.

    {"segments": [{"label": "pouring_coffee", "start_s": 9.64, "end_s": 19.2}, ...]}

Seconds count from the video's first picture. No event is expected in the time outside of all intervals.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from edge_tdn.capture.picture_folder import AS_FOUND, Pictures
from edge_tdn.capture.video_file import read_file
from edge_tdn.config.resolved_zones import runtime_choice
from edge_tdn.config.tables import CameraConfig, Config, DecideConfig
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S, ActionEvent, Frame
from edge_tdn.replay.plot import ScoredClip
from edge_tdn.replay.replay_chain import ReplayChain
from edge_tdn.replay.replay_zone import ReplayNetwork
from edge_tdn.text_file import decode
from edge_tdn_training.data.labels import check_known
from edge_tdn_training.evaluation.matching import Interval, MatchedEvents, ReportedEvent, match_events

MAX_QUOTED = 80  # characters of a value that an error quotes
LENGTH_TOLERANCE_S = 0.5  # of a container's declared length
Step = Callable[[float], None]  # receives the seconds that are done


class _LabelledInterval(BaseModel):
    label: str = Field(min_length=1)
    start_s: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
    end_s: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class _Recording(BaseModel):
    segments: list[_LabelledInterval] = Field(min_length=1)


@dataclass(frozen=True)
class StreamResult:
    """The events of a video that was played as a camera, matched with its intervals."""

    matched: MatchedEvents
    scores: tuple[ScoredClip, ...]  # of each clip
    thresholds: dict[str, tuple[float, float]]  # name of the action -> enter and exit threshold


def read_intervals(path: Path, known: Sequence[str]) -> tuple[Interval, ...]:
    """Return the labelled intervals of a video, in the order of time. `known`: labels of the model and its background.

    ConfigError: no such file, not JSON, no `segments`, an interval that ends before it starts, two that overlap, or
    unknown labels.
    """
    try:
        text = decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected the JSON file with the video's intervals") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        found = _Recording.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        got = f", got {repr(fault['input'])[:MAX_QUOTED]}" if fault["type"] not in ("missing", "json_invalid") else ""
        more = "; label a video without actions as one interval of a background label" if key == "segments" else ""
        raise ConfigError(f"{path}: {key or 'the file'}: {fault['msg']}{got}{more}") from error
    for number, one in enumerate(found.segments):
        if one.end_s <= one.start_s:
            raise ConfigError(
                f"{path}: segments[{number}].end_s: {one.end_s:g} is not after its start_s, {one.start_s:g}; both "
                "are seconds of the video"
            )
    intervals = sorted((Interval(s.label, s.start_s, s.end_s) for s in found.segments), key=lambda one: one.start_s)
    for interval, following in pairwise(intervals):
        if following.start_s < interval.end_s:
            raise ConfigError(
                f"{path}: segments: {_described(interval)} and {_described(following)} overlap; a camera has one "
                "action at a time: one may begin where the other ends"
            )
    check_known(str(path), (interval.label for interval in intervals), known)
    return tuple(intervals)


def _described(interval: Interval) -> str:
    return f"{interval.label!r} ({interval.start_s:g} to {interval.end_s:g} s)"


def check_length(path: Path, intervals: Sequence[Interval], video: Path, seconds: float | None) -> None:
    """ConfigError: the intervals of the file `path` end after the video. `seconds`: its length; None: not known."""
    last = intervals[-1]
    if seconds is not None and last.end_s > seconds + LENGTH_TOLERANCE_S:
        raise ConfigError(
            f"{path}: {_described(last)} ends after {video}, "
            f"which is {seconds:.1f} s long; is the JSON file of another video?"
        )


def stream(
    model: Model,
    runtime: Runtime,
    video: Path,
    intervals: Sequence[Interval],
    decide: DecideConfig,
    step: Step = lambda _: None,
    pictures: Pictures = AS_FOUND,
) -> StreamResult:
    """Play `video` as a camera, and match its events with the intervals. `step` is called with the seconds done.

    SourceError: the video cannot be played, or is a single picture.
    """
    camera = CameraConfig(name="recording", source=str(video.resolve()))
    frames = read_file(video, pictures=pictures.at(model.manifest.input.frame_rate))
    config = Config(camera=(camera,), decide=decide)
    chain = ReplayChain(config, camera, {runtime_choice(config): ReplayNetwork(model, runtime)})
    events = _events(chain.play(_counted(frames, step)))
    if not chain.seconds:
        raise SourceError(f"{video}: a single picture; expected a video file")
    matched = match_events(intervals, events, chain.seconds, model.manifest.background)
    (zone,) = chain.zones
    return StreamResult(matched, tuple(zone.scores.clips), dict(zone.scores.thresholds))


def _counted(frames: Iterator[Frame], step: Step) -> Iterator[Frame]:
    for frame in frames:
        step(frame.pts_ns / NS_PER_S)
        yield frame


def _events(published: Iterator[ActionEvent]) -> list[ReportedEvent]:
    """Return the actions of a complete replay whose wall clock began at 0; every action has ended."""
    starts: dict[str, ActionEvent] = {}
    events = []
    for event in published:
        if event.type == "start":
            starts[event.id] = event
        elif event.type == "end":
            start = starts.pop(event.id)
            ended_at = str(event.ended_at)
            times = map(_seconds, (start.started_at, ended_at, start.window.to))
            events.append(ReportedEvent(event.label, *times))
    assert not starts
    return events


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
