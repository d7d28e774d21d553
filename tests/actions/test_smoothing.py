"""From logits to scores: softmax, mean over clips, sum over an action's labels."""

import numpy as np
import pytest

from edge_tdn.actions.labels import rules
from edge_tdn.actions.smoothing import ScoreSmoother, softmax
from edge_tdn.config.tables import DecideConfig

LABELS = ("still", "left", "right")


def smoother(clips: int) -> ScoreSmoother:
    """Return a smoother for the actions `still` and `sideways`, which is left or right."""
    config = DecideConfig.model_validate({"action": [{"name": "sideways", "labels": ["left", "right"]}]})
    return ScoreSmoother(rules(config, LABELS), len(LABELS), clips)


def logits(*probabilities: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.log(np.array(probabilities, np.float32))


def test_softmax_of_huge_logits_is_finite() -> None:
    assert softmax(np.array([1e4, -1e4, 0], np.float32)).tolist() == [1.0, 0.0, 0.0]


def test_a_score_is_the_mean_over_the_last_clips_summed_over_the_actions_labels() -> None:
    scores = smoother(clips=2)
    assert scores.scores == {}
    for clip in (logits(0.9, 0.05, 0.05), logits(0.6, 0.3, 0.1), logits(0.2, 0.3, 0.5)):
        scores.push(clip)
    assert scores.mean == pytest.approx([0.4, 0.3, 0.3], abs=1e-6)
    assert scores.scores == {"still": pytest.approx(0.4, abs=1e-6), "sideways": pytest.approx(0.6, abs=1e-6)}


def test_no_average_spans_a_gap() -> None:
    scores = smoother(clips=3)
    scores.push(logits(0.9, 0.05, 0.05))
    scores.clear()
    assert (scores.scores, scores.recent) == ({}, ())
    scores.push(logits(0.2, 0.4, 0.4))
    assert scores.scores["still"] == pytest.approx(0.2, abs=1e-6)
