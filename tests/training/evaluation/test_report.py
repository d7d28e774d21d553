"""The lines that a training prints about the accuracy of each precision."""

import numpy as np
import pytest
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.report import precision_warnings

CLIPS = 9


def accuracy(right: int) -> Accuracy:
    """Return the results of CLIPS clips of the first of two classes, of which so many are right."""
    logits = np.tile(np.array([0, 1], np.float32), (CLIPS, 1))
    logits[:right] = 1, 0
    return Accuracy(("a", "b"), logits, np.zeros(CLIPS, np.int64))


def test_a_precision_with_more_than_one_right_clip_fewer_names_what_to_serve() -> None:
    found = {"fp32": accuracy(8), "bf16": accuracy(7), "int8": accuracy(6)}
    assert precision_warnings(found) == [
        "int8 is less accurate than fp32: 6 of 9 held-out clips are right, in fp32 8. Do not serve it: set "
        'precision = "fp32" or precision = "bf16" in [runtime]'
    ]


@pytest.mark.parametrize("right", [7, 8, 9])
def test_a_difference_of_one_clip_or_a_better_precision_causes_no_warning(right: int) -> None:
    assert precision_warnings({"fp32": accuracy(8), "int8": accuracy(right)}) == []
