"""Frames and events for a recorder, and waiting until it has recorded them."""

from collections.abc import Callable

from edge_tdn.messages import ActionEvent, Scores
from edge_tdn.recording.recorder import Recorder
from edge_tdn.recording.timing import RecorderTiming
from tests.support.actions import numbered_frame
from tests.support.waiting import eventually

PATIENT = RecorderTiming(close_s=30.0, silent_s=60.0)  # a busy host may take long over a clip, and over the frames
Make = Callable[..., Recorder]


def play(recorder: Recorder, first: int, last: int, stream: int = 1, size: tuple[int, int] = (120, 160)) -> None:
    """Hand over at most as many frames as the recorder keeps; those of open clips are written when this returns."""
    for number in range(first, last):
        recorder.frame(numbered_frame(number, number / 20, stream, size))
    wait_until_written(recorder)


def give(recorder: Recorder, event: ActionEvent, scores: Scores | None) -> ActionEvent:
    """Hand over an event as the runtime thread does; return it as it is published."""
    named = recorder.named(event)
    recorder.event(named, scores)
    return named


def record(recorder: Recorder, event: ActionEvent, scores: Scores | None) -> None:
    """Hand over an event; its clip has been opened, or its end is known, when this returns."""
    clips = recorder._thread._clips
    give(recorder, event, scores)
    if event.type == "start":
        eventually(lambda: event.id in clips)
    else:
        eventually(lambda: (clip := clips.get(event.id)) is None or clip.ended)
    wait_until_written(recorder)


def wait_until_written(recorder: Recorder) -> None:
    newest = recorder._recent.newest
    assert newest
    eventually(lambda: all(clip.last_ns >= newest.pts_ns for clip in list(recorder._thread._clips.values())))
