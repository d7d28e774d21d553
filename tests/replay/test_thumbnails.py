"""The thumbnails of a replay: evenly spread over a recording of any length, and drawn above their moments."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S, Frame
from edge_tdn.replay.plot import ScoredClip, ZoneScores, plot
from edge_tdn.replay.thumbnails import COUNT, HEIGHT, MAX_KEPT, WIDTH, Thumbnail, Thumbnails

COLOURS = [(250, 10 + 30 * number, 5) for number in range(COUNT)]  # no line or letter of the plot has such a colour


def frame(seconds: float, size: tuple[int, int] = (24, 32)) -> Frame:
    pts_ns = round(seconds * NS_PER_S)
    return Frame(Packed(np.full((*size, 3), 128, np.uint8)), pts_ns, pts_ns, pts_ns, 1, 1)


def spread(times: list[float]) -> list[float]:
    thumbnails = Thumbnails()
    assert len(list(thumbnails.watch(map(frame, times)))) == len(times), "every frame is passed on"
    assert len(thumbnails._kept) <= MAX_KEPT + 1
    return [one.seconds for one in thumbnails.spread()]


@given(st.floats(2.0, 3000.0), st.floats(0.5, 3.0))
def test_any_length_gives_evenly_spread_pictures(length_s: float, interval_s: float) -> None:
    """Each is near the centre of its eighth: within a quarter of it, or two frames."""
    times = list(np.arange(0.0, length_s, interval_s))
    chosen, end = spread(times), times[-1]
    near = max(2 * interval_s, end / COUNT / 4)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == COUNT or end / COUNT < 2 * interval_s
    for part in range(COUNT):
        centre = (part + 0.5) * end / COUNT
        assert min(abs(one - centre) for one in chosen) <= near


def test_a_short_recording_gives_each_picture_once() -> None:
    assert spread([]) == []
    assert spread([0.0]) == [0.0]
    assert spread([0.0, 0.5, 1.0]) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (99, 132)), ((1080, 1920), (74, 132)), ((640, 360), (99, 56)), ((20, 30), (20, 30))],
)
def test_a_picture_keeps_its_proportions_within_the_limits(size: tuple[int, int], expected: tuple[int, int]) -> None:
    thumbnails = Thumbnails()
    list(thumbnails.watch([frame(0.0, size)]))
    assert thumbnails.spread()[0].picture.shape == (*expected, 3)


def test_each_thumbnail_is_drawn_whole_above_its_moment() -> None:
    """Pixel by pixel, without overlap, also beside names of several lines."""
    thumbnails = [
        Thumbnail(10.0 * (number + 0.5), np.full((HEIGHT, WIDTH, 3), colour, np.uint8))
        for number, colour in enumerate(COLOURS)
    ]
    name = "putting something next to something else"
    clips = [ScoredClip(float(second), {name: second / 80}) for second in range(81)]
    scores = [ZoneScores(None, clips, {name: (0.6, 0.4)})]
    image = np.asarray(Image.open(io.BytesIO(plot("a", scores, [], 0, thumbnails))).convert("RGB"))
    places = [np.argwhere((image == colour).all(axis=2)) for colour in COLOURS]
    assert [len(place) for place in places] == [HEIGHT * WIDTH] * COUNT
    centres = [place[:, 1].mean() for place in places]
    steps = np.diff(centres)
    assert steps.min() > WIDTH
    assert np.ptp(steps) <= 2
    without = np.asarray(Image.open(io.BytesIO(plot("a", scores, [], 0))).convert("RGB"))
    assert image.shape[0] == without.shape[0] + HEIGHT
