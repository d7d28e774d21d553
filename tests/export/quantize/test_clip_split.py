"""Calibration and held-out sets: no video, and where possible no segment, is in both."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_export.clips import Recording
from edge_tdn_export.quantize.clip_split import ClipSet, divide
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.errors import ModelError
from edge_tdn.messages import Segment
from tests.support.exports import SPEC


def _recordings(lengths: Iterable[tuple[str, int]]) -> list[Recording]:
    """Return recordings of the videos with these names."""
    found = []
    for name, segments in lengths:
        frames = np.zeros((5, 2, 2, 3), np.uint8)
        one = (Segment(frames, n, 0, 0, 0, 0, 0, 0) for n in range(segments))
        found.append(Recording("clip.mp4", Path(name), tuple(one)))
    return found


def _segments(half: ClipSet) -> set[Segment]:
    t = SPEC.segments
    return {segment for recording, last in half.clips for segment in recording.segments[last + 1 - t : last + 1]}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(8, 60)), min_size=1, max_size=6),
    st.integers(2, 40),
)
def test_no_video_is_in_both_sets(lengths: list[tuple[str, int]], samples: int) -> None:
    recordings = _recordings(lengths)
    clips = sum(length - 7 for _, length in lengths)
    if clips < 2:
        with pytest.raises(ModelError, match="one clip cannot be split"):
            divide(recordings, SPEC, samples)
        return
    sets = divide(recordings, SPEC, samples)
    for one in sets:
        assert 1 <= len(one.clips) == len(set(one.clips)) <= samples // 2
    if len({name for name, _ in lengths}) > 1:
        paths = [{recording.path for recording, _ in one.clips} for one in sets]
        assert not paths[0] & paths[1]


@pytest.mark.parametrize("segments", [16, 17, 40])
def test_single_video_is_split_into_beginning_and_end(segments: int) -> None:
    calibration, held_out = divide(_recordings([("a", segments)]), SPEC, 128)
    assert not _segments(calibration) & _segments(held_out)
    assert max(last for _, last in calibration.clips) < min(last for _, last in held_out.clips)


def test_two_clips_give_one_to_each_set() -> None:
    calibration, held_out = divide(_recordings([("a", 9)]), SPEC, 128)
    assert [last for _, last in (*calibration.clips, *held_out.clips)] == [7, 8]
