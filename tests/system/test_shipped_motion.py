"""The shipped model, on the clips that nobody learnt from."""

import hashlib

import numpy as np
import pytest
from edge_tdn_training.synthetic.clips import HELD_OUT, SPEC, LabelledClip, generate_clip
from edge_tdn_training.synthetic.motions import OPPOSITE

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import WEIGHTS, Model


@pytest.fixture(scope="module")
def held_out() -> list[LabelledClip]:
    """The first of the clips that are never learnt from."""
    return [generate_clip(HELD_OUT + number, SPEC) for number in range(80)]


def test_a_lesson_is_fixed_by_its_number() -> None:
    one, again, other = generate_clip(5, SPEC), generate_clip(5, SPEC), generate_clip(6, SPEC)
    assert np.array_equal(one.frames, again.frames)
    assert one.label == again.label
    assert not np.array_equal(one.frames, other.frames)
    assert one.frames.shape == (8, 5, 96, 96, 3)


def test_segments_of_a_lesson_overlap_as_the_grid_says() -> None:
    """Stride 4 and five frames: a segment's last frame is the next one's first."""
    frames = generate_clip(7, SPEC).frames
    assert np.array_equal(frames[:-1, 4], frames[1:, 0])


def test_the_lessons_are_of_the_model_that_ships(motion: Model) -> None:
    assert motion.manifest.input == SPEC
    assert motion.labels == MOTIONS


def test_the_card_is_of_the_weights_that_ship(motion: Model) -> None:
    weights = (motion.folder / WEIGHTS).read_bytes()
    assert hashlib.sha256(weights).hexdigest() in (motion.folder.parent / "README.md").read_text()


def test_the_shipped_model_knows_clips_that_it_never_saw(motion: Model, held_out: list[LabelledClip]) -> None:
    """Through the runtime of the daemon."""
    runtime = open_runtime(motion)
    right = sum(int(np.argmax(scores(runtime, clip.frames))) == clip.label for clip in held_out)
    runtime.close()
    assert right >= 73


def test_a_clip_played_backwards_is_its_opposite(motion: Model, held_out: list[LabelledClip]) -> None:
    """So it is motion that decides, not what the thing looks like."""
    runtime = open_runtime(motion)
    directed = [clip for clip in held_out if MOTIONS[clip.label] in OPPOSITE]
    turned = 0
    for clip in directed:
        said = MOTIONS[int(np.argmax(scores(runtime, clip.frames[::-1, ::-1])))]
        turned += said == OPPOSITE[MOTIONS[clip.label]]
    runtime.close()
    assert len(directed) > 40
    assert turned >= 0.8 * len(directed)
