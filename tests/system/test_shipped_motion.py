"""The shipped model, on held-out generated clips."""

import hashlib

import numpy as np
import pytest
from edge_tdn_export.convert.model_folder import size_of
from edge_tdn_training.synthetic.clips import HELD_OUT, SPEC, LabelledClip, generate_clip
from edge_tdn_training.synthetic.motions import OPPOSITE

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import WEIGHTS, Model
from edge_tdn.verdict import recorded_claim
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def held_out() -> list[LabelledClip]:
    """The first of the clips that are never trained on."""
    return [generate_clip(HELD_OUT + number, SPEC) for number in range(80)]


def test_a_clip_is_defined_by_its_number() -> None:
    one, again, other = generate_clip(5, SPEC), generate_clip(5, SPEC), generate_clip(6, SPEC)
    assert np.array_equal(one.frames, again.frames)
    assert one.label == again.label
    assert not np.array_equal(one.frames, other.frames)
    assert one.frames.shape == (8, 5, 96, 96, 3)


def test_segments_of_a_clip_overlap_as_in_the_grid() -> None:
    """With a stride of 4 and five frames, a segment's last frame is the next one's first."""
    frames = generate_clip(7, SPEC).frames
    assert np.array_equal(frames[:-1, 4], frames[1:, 0])


def test_the_shipped_model_has_the_input_of_the_clips(motion: Model) -> None:
    assert motion.manifest.input == SPEC
    assert motion.labels == MOTIONS


def test_the_card_names_the_shipped_weights(motion: Model) -> None:
    weights = (motion.folder / WEIGHTS).read_bytes()
    assert hashlib.sha256(weights).hexdigest() in (motion.folder.parent / "README.md").read_text()


@pytest.mark.parametrize("name", ["fp32", "bf16", "int8"])
def test_card_and_documents_state_the_size_and_verdict_of_the_manifest(name: str, motion: Model) -> None:
    """One size and one verdict for each precision, wherever it is named."""
    claim, parity = recorded_claim(motion, name), motion.manifest.parity[name]
    assert claim
    megabytes = f"{size_of(motion, motion.manifest.precisions[name]) / 1e6:.2g}"
    page, card = ((ROOT / path).read_text() for path in ("docs/models.md", "edge_tdn/models/README.md"))
    row = (
        claim.verdict,
        f"{parity.max_logit_error:.1e}",
        f"{100 * parity.top1_agreement:.3g} %",
        f"{parity.mean_kl:.1e}",
    )
    _, _, table = page.partition("\n| `motion` |")
    assert f" {name} | {' | '.join(row)} | {megabytes} |" in table
    assert f"{claim.clips} clips of {claim.recordings}" in page
    assert f"{claim.clips} clips of {claim.recordings} real recordings" in card
    if name == "int8":
        assert f"{megabytes} MB in INT8" in page
        assert f"INT8 ({megabytes} MB) {claim.verdict}" in " ".join(card.split())
    if name == "fp32":
        assert f"`motion` ({megabytes} MB;" in page
        assert f"FP32 ({megabytes} MB) is {claim.verdict}" in " ".join(card.split())


def test_the_shipped_model_recognises_held_out_clips(motion: Model, held_out: list[LabelledClip]) -> None:
    """In the runtime of the daemon."""
    runtime = open_runtime(motion)
    right = sum(int(np.argmax(scores(runtime, clip.frames))) == clip.label for clip in held_out)
    runtime.close()
    assert right >= 73


def test_a_clip_played_backwards_is_its_opposite(motion: Model, held_out: list[LabelledClip]) -> None:
    """So the model uses the motion, not the looks of a thing."""
    runtime = open_runtime(motion)
    directed = [clip for clip in held_out if MOTIONS[clip.label] in OPPOSITE]
    turned = 0
    for clip in directed:
        predicted = MOTIONS[int(np.argmax(scores(runtime, clip.frames[::-1, ::-1])))]
        turned += predicted == OPPOSITE[MOTIONS[clip.label]]
    runtime.close()
    assert len(directed) > 40
    assert turned >= 0.8 * len(directed)
