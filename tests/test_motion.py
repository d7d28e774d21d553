"""The shipped model and the clips it learnt from."""

import numpy as np
import pytest

from edge_tdn.manifest import Model
from edge_tdn.runtime import open_runtime
from edge_tdn.scene import LABELS
from training.motion import lesson
from training.motion_recipe import HELD_OUT, SPEC


def test_a_lesson_is_fixed_by_its_number() -> None:
    one, again, other = lesson(5, SPEC), lesson(5, SPEC), lesson(6, SPEC)
    assert np.array_equal(one.frames, again.frames)
    assert one.label == again.label
    assert not np.array_equal(one.frames, other.frames)
    assert one.frames.shape == (8, 5, 96, 96, 3)


def test_segments_of_a_lesson_overlap_as_the_grid_says() -> None:
    """Stride 4 and five frames: a segment's last frame is the next one's first."""
    frames = lesson(7, SPEC).frames
    assert np.array_equal(frames[:-1, 4], frames[1:, 0])


def test_the_lessons_are_of_the_model_that_ships(motion: Model) -> None:
    assert motion.manifest.input == SPEC
    assert motion.labels == LABELS


def test_the_shipped_model_knows_clips_that_it_never_saw(motion: Model) -> None:
    """Through the runtime of the daemon, on the first of the held-out clips (99.4 % of a thousand)."""
    runtime = open_runtime(motion)
    right = 0
    for number in range(100):
        clip = lesson(HELD_OUT + number, SPEC)
        ring = runtime.ring()
        for frames in clip.frames:
            runtime.encode([frames], [ring])
        right += int(np.argmax(runtime.classify([ring])[0])) == clip.label
    runtime.close()
    assert right >= 96


@pytest.mark.parametrize(("label", "other"), [("left", "right"), ("up", "down"), ("approach", "recede")])
def test_a_clip_played_backwards_is_its_opposite(label: str, other: str, motion: Model) -> None:
    """So it is motion that decides, not what the thing looks like."""
    runtime = open_runtime(motion)
    seen = turned = 0
    for number in range(HELD_OUT, HELD_OUT + 80):
        clip = lesson(number, SPEC)
        if LABELS[clip.label] == label:
            ring = runtime.ring()
            for frames in clip.frames[::-1, ::-1]:
                runtime.encode([frames], [ring])
            seen += 1
            turned += LABELS[int(np.argmax(runtime.classify([ring])[0]))] == other
    runtime.close()
    assert seen >= 4
    assert turned >= 0.8 * seen
