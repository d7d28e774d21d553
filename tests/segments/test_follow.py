"""A view that follows what moves: close to small actors, one view for a whole clip, the whole zone otherwise."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import pytest

from edge_tdn.config.zone_tables import WHOLE
from edge_tdn.manifest import InputSpec
from edge_tdn.media.colour import Packed
from edge_tdn.media.outline import Outline
from edge_tdn.messages import NS_PER_S, Frame, Picture, Segment
from edge_tdn.segments.follow import SMALLEST, Follower
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.preprocess import Preprocessor
from edge_tdn.segments.window import KEPT_SIDE, Window

RATE, SIDE, T = 15.0, 64, 8
HEIGHT, WIDTH = 192, 256  # no larger than KEPT_SIDE * SIDE: pictures are kept as they are
ROWS, COLUMNS = 60, 80  # blocks
CLIP = 36  # ticks
SPEC = InputSpec(segments=T, height=SIDE, width=SIDE, resize="stretch", frame_rate=RATE, segment_stride=4)


def scene(seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Picture:
    noise = np.random.default_rng(seed).integers(40, 216, (*size, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)  # type: ignore[return-value]


def actor(left: int, top: int, size: int = 24, turn: int = 0) -> Picture:
    """Return the scene with a square whose pattern turns, so that it moves without leaving its place."""
    shown = scene()
    shown[top : top + size, left : left + size] = np.roll(scene(5, (size, size)), 7 * turn, (0, 1))
    return shown


def frames(pictures: Iterable[Picture], from_s: float = 0.0) -> Iterator[Frame]:
    for number, picture in enumerate(pictures):
        at_ns = round((from_s + number / RATE) * NS_PER_S)
        yield Frame(Packed(picture), at_ns, at_ns, at_ns, number, 1)


def window(follow: bool = True, spec: InputSpec = SPEC) -> Window:
    return Window(spec, max_gap_s=0.5, gate=MotionGate(), follow=follow)


def expected(pictures: list[Picture], index: int, box: tuple[slice, slice]) -> np.ndarray:
    """Return the frames of segment `index`, cut to a box."""
    resize = Preprocessor(SPEC)
    return np.stack([resize(pictures[2 + 4 * index + n][box]) for n in range(5)])


def test_the_view_is_cut_around_a_small_actor_in_all_segments_of_a_clip() -> None:
    pictures = [actor(180, 20, turn=n) for n in range(80)]
    clip: dict[int, Segment] = {}
    followed = window()
    for frame in frames(pictures):
        for segment in followed.push(frame):
            clip[segment.index] = segment
    last = max(clip)
    rows, columns = box = Outline(followed.view).box((HEIGHT, WIDTH))
    assert rows.start <= 20 < 44 <= rows.stop, "holds the actor"
    assert columns.start <= 180 < 204 <= columns.stop
    assert rows.stop - rows.start <= HEIGHT / 3
    for index in range(last - T + 1, last + 1):
        np.testing.assert_array_equal(clip[index].frames, expected(pictures, index, box))


def test_segments_are_given_again_with_their_indices_when_the_view_changes() -> None:
    pictures = [actor(20, 20, turn=n) for n in range(60)] + [actor(200, 150, turn=n) for n in range(60)]
    one = window()
    given = [[segment.index for segment in found] for frame in frames(pictures) if (found := one.push(frame))]
    again = [indices for indices in given if len(indices) > 1]
    assert again, "the actor is small, and changes its place"
    newest = -1
    for indices in given:
        assert indices == list(range(indices[0], newest + 2))
        assert len(indices) == 1 or indices[0] == max(0, indices[-1] - T + 1)
        newest = indices[-1]


@pytest.mark.parametrize("still", [True, False])
def test_a_still_scene_and_a_large_motion_are_seen_as_without_following(still: bool) -> None:
    pictures = [scene(0 if still else n) for n in range(100)]
    seen = [[s for frame in frames(pictures) for s in one.push(frame)] for one in (window(), window(follow=False))]
    assert [s.index for s in seen[0]] == [s.index for s in seen[1]]
    for followed, plain in zip(*seen, strict=True):
        np.testing.assert_array_equal(followed.frames, plain.frames)
        assert (followed.still, followed.dropped, followed.to_ns) == (plain.still, plain.dropped, plain.to_ns)


def test_after_a_gap_the_whole_zone_is_seen_again() -> None:
    one = window()
    pictures = [actor(180, 20, turn=n) for n in range(80)]
    for frame in frames(pictures):
        one.push(frame)
    still = [scene()] * 10
    first = next(s for frame in frames(still, from_s=60.0) for s in one.push(frame))
    assert first.index == 0
    np.testing.assert_array_equal(first.frames[0], Preprocessor(SPEC)(scene()))


def test_a_large_picture_is_kept_in_a_size_that_the_smallest_view_needs() -> None:
    size = (3 * KEPT_SIDE * SIDE, 4 * KEPT_SIDE * SIDE)
    shown = [cv2.resize(actor(180, 20, turn=n), size[::-1], interpolation=cv2.INTER_NEAREST) for n in range(50)]
    one = window()
    segments = [segment for frame in frames(shown) for segment in one.push(frame)]  # type: ignore[arg-type]
    assert len(segments) > T
    assert all(s.frames.shape == (5, SIDE, SIDE, 3) for s in segments)


def moving(*places: tuple[int, int, int, int]) -> np.ndarray:
    """Return blocks that move: rows and columns from, to."""
    blocks = np.zeros((ROWS, COLUMNS), bool)
    for top, bottom, left, right in places:
        blocks[top:bottom, left:right] = True
    return blocks


def viewing(*places: tuple[int, int, int, int]) -> Follower:
    follower = Follower(CLIP)
    for _ in range(CLIP):
        follower.tick(moving(*places))
    follower.choose()
    return follower


def test_of_two_motions_the_larger_is_followed() -> None:
    left, top, width, height = viewing((0, 10, 0, 10), (40, 56, 60, 76)).view
    assert width == height == pytest.approx(1.3 * 16 / 60)
    rows, columns = Outline((left, top, width, height)).box((ROWS, COLUMNS))
    assert rows.start <= 40 < 56 <= rows.stop
    assert columns.start <= 60 < 76 <= columns.stop


@pytest.mark.parametrize("place", [(0, 3, 0, 3), (57, 60, 77, 80), (0, 3, 77, 80), (57, 60, 0, 3)])
def test_the_view_is_never_smaller_than_a_quarter_and_stays_within_the_zone(place: tuple[int, int, int, int]) -> None:
    left, top, width, height = viewing(place).view
    assert width == height == SMALLEST
    assert {left, top} <= {0, 1 - SMALLEST}


def test_a_motion_that_fills_most_of_the_zone_shows_all_of_it() -> None:
    assert viewing((0, 50, 0, 60)).view == WHOLE


def test_the_view_stays_while_it_holds_the_motion() -> None:
    follower = viewing((20, 32, 20, 32))
    before = follower.view
    for _ in range(CLIP):
        follower.tick(moving((21, 31, 21, 31)))
        assert not follower.choose()
    assert follower.view == before


def test_a_still_clip_keeps_the_view() -> None:
    follower = viewing((20, 32, 20, 32))
    before = follower.view
    for _ in range(2 * CLIP):
        follower.tick(moving())
        assert not follower.choose()
    assert follower.view == before != WHOLE


def test_a_view_that_is_much_too_large_becomes_smaller() -> None:
    follower = viewing((10, 40, 10, 40))
    wide = follower.view[2]
    for _ in range(CLIP):
        follower.tick(moving((20, 24, 20, 24)))
    assert follower.choose()
    assert follower.view[2] < wide
