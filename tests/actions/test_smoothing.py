"""From logits to scores: softmax, mean over the last seconds, sum over an action's labels."""

import numpy as np
import pytest

from edge_tdn.actions.labels import rules
from edge_tdn.actions.smoothing import ScoreSmoother, softmax
from edge_tdn.config.tables import DecideConfig
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S

LABELS = ("still", "left", "right")


def smoother(seconds: float) -> ScoreSmoother:
    """Return a smoother for the actions `still` and `sideways`, which is left or right."""
    config = DecideConfig.model_validate({"action": [{"name": "sideways", "labels": ["left", "right"]}]})
    return ScoreSmoother(rules(config, LABELS), len(LABELS), seconds)


def logits(*probabilities: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.log(np.array(probabilities, np.float32))


def test_softmax_of_huge_logits_is_finite() -> None:
    assert softmax(np.array([1e4, -1e4, 0], np.float32)).tolist() == [1.0, 0.0, 0.0]


def test_a_score_is_the_mean_over_the_last_seconds_summed_over_the_actions_labels() -> None:
    scores = smoother(seconds=0.5)
    assert scores.scores == {}
    for number, clip in enumerate((logits(0.9, 0.05, 0.05), logits(0.6, 0.3, 0.1), logits(0.2, 0.3, 0.5))):
        scores.push(clip, round(number * 0.25 * NS_PER_S))
    assert scores.mean == pytest.approx([0.4, 0.3, 0.3], abs=1e-6)
    assert scores.scores == {"still": pytest.approx(0.4, abs=1e-6), "sideways": pytest.approx(0.6, abs=1e-6)}


@pytest.mark.parametrize("hop", [1, 2, 3, 12])
def test_a_wider_hop_makes_scores_no_slower(hop: int) -> None:
    """On a host that is too slow, too, scores show only the new scene 0.8 s after it has changed."""
    scores, every_ns = smoother(seconds=0.8), hop * 4 * NS_PER_S // 15
    for number in range(12):
        scores.push(logits(0.9, 0.05, 0.05), number * every_ns)
    changed_ns = 12 * every_ns
    after = {}
    for number in range(12, 24):
        scores.push(logits(0.1, 0.8, 0.1), number * every_ns)
        after[number * every_ns - changed_ns] = scores.scores["sideways"]
    assert all(score == pytest.approx(0.9, abs=1e-6) for age_ns, score in after.items() if age_ns >= 0.8 * NS_PER_S)
    first = after[0]
    assert first == pytest.approx({1: (0.1 + 0.1 + 0.9) / 3, 2: 0.5}.get(hop, 0.9), abs=1e-6)


def test_the_default_averages_three_clips_of_the_shipped_model(motion: Model) -> None:
    spec = motion.manifest.input
    scores = smoother(DecideConfig().smoothing_s)
    for number in range(40):
        scores.push(logits(0.9, 0.05, 0.05), round(number * spec.segment_stride * NS_PER_S / spec.frame_rate))
    assert len(scores.recent) == 3


def test_without_smoothing_only_the_newest_clip_counts() -> None:
    scores = smoother(seconds=0)
    scores.push(logits(0.9, 0.05, 0.05), 0)
    scores.push(logits(0.2, 0.4, 0.4), 1)
    assert scores.scores["still"] == pytest.approx(0.2, abs=1e-6)


def test_a_smoother_continues_with_the_clips_of_another_as_far_as_its_own_seconds_reach() -> None:
    earlier = smoother(seconds=2)
    for number in range(4):
        earlier.push(logits(1 - number / 10, number / 10 + 1e-9, 1e-9), number * NS_PER_S // 2)
    config = DecideConfig.model_validate({"action": [{"name": "sideways", "labels": ["left", "right"]}]})
    scores = ScoreSmoother(rules(config, LABELS), len(LABELS), 1.0, earlier.recent)
    assert [clip.at_ns for clip in scores.recent] == [NS_PER_S, 3 * NS_PER_S // 2]
    assert scores.scores["sideways"] == pytest.approx(0.25, abs=1e-6)


def test_no_average_spans_a_gap() -> None:
    scores = smoother(seconds=3)
    scores.push(logits(0.9, 0.05, 0.05), 0)
    scores.clear()
    assert (scores.scores, scores.recent) == ({}, ())
    scores.push(logits(0.2, 0.4, 0.4), 1)
    assert scores.scores["still"] == pytest.approx(0.2, abs=1e-6)
