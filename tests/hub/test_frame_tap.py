"""A tap has every frame for one more reader, and never holds up the camera."""

import threading
from itertools import islice

from edge_tdn.hub.camera_view import CameraView
from edge_tdn.hub.frame_tap import FrameTap
from tests.support.actions import numbered_frame


def seqs(tap: FrameTap, count: int) -> list[int]:
    return [frame.seq for frame in islice(tap.frames(threading.Event()), count)]


def test_a_tap_has_each_frame_from_when_it_was_opened() -> None:
    view = CameraView("door")
    view.frame(numbered_frame(1, 0.0))
    with view.tap() as tap, view.tap() as other:
        view.frame(numbered_frame(2, 0.1))
        view.frame(numbered_frame(3, 0.2))
        assert seqs(tap, 2) == [2, 3]
        assert seqs(other, 2) == [2, 3]
    view.frame(numbered_frame(4, 0.3))
    tap.put(numbered_frame(5, 0.4))
    assert seqs(tap, 1) == [5], "frame 4 came after the end of the block"


def test_a_slow_reader_misses_the_oldest_frames() -> None:
    tap = FrameTap(max_frames=3)
    for number in range(5):
        tap.put(numbered_frame(number, number / 10))
    assert seqs(tap, 3) == [2, 3, 4]
    assert tap.dropped == 2


def test_a_stop_ends_a_reader_that_waits() -> None:
    tap, stop, read = FrameTap(), threading.Event(), []
    reader = threading.Thread(target=lambda: read.extend(tap.frames(stop)))
    reader.start()
    stop.set()
    reader.join()
    assert not read


def test_silence_ends_a_reader_if_it_asks_for_that() -> None:
    tap = FrameTap()
    for number in range(3):
        tap.put(numbered_frame(number, number / 10))
    assert [frame.seq for frame in tap.frames(threading.Event(), silence_s=0.5)] == [0, 1, 2]
