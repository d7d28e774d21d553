"""Scores over time, as the decider had them."""

import numpy as np
import pytest

from edge_tdn.actions.decider import Decider
from edge_tdn.hub.history import action_scores
from edge_tdn.messages import NS_PER_S, Scores
from tests.support.actions import WALL_NS
from tests.support.clips import clip_at, keep_all, sure_of
from tests.support.decisions import LABELS, LEFT, ORIGIN, RIGHT, STILL, prompt_config
from tests.support.fakes import SPEC

COURSE = [STILL, LEFT, LEFT, RIGHT, STILL, LEFT]
CLIPS = [clip_at(number, sure_of(shares)) for number, shares in enumerate(COURSE)]


def decided(rows: list[Scores], smoothing_s: float) -> list[dict[str, float]]:
    decider = Decider(prompt_config(smoothing_s=smoothing_s), ORIGIN, LABELS, ("still",))
    found = []
    for row in rows:
        decider.push(row)
        found.append(decider.scores)
    return found


@pytest.mark.parametrize("smoothing_s", [0.0, 0.5])
def test_the_scores_are_those_that_were_decided_on(smoothing_s: float) -> None:
    table = action_scores(keep_all(CLIPS), prompt_config(smoothing_s=smoothing_s), ("still",))
    assert table.actions == ("left", "right")
    assert list(table.at_ns) == [clip.wall_ns for clip in CLIPS]
    expected = [[one[action] for one in decided(CLIPS, smoothing_s)] for action in table.actions]
    np.testing.assert_allclose(table.scores, expected, atol=1e-6)


def test_a_break_is_a_gap_and_scores_are_not_averaged_over_it() -> None:
    rows = [*CLIPS[:2], "stream_lost", *CLIPS[2:4]]
    table = action_scores(keep_all(rows), prompt_config(smoothing_s=10.0), ("still",))
    assert np.isnan(table.scores[0]).tolist() == [False, False, True, False, False]
    np.testing.assert_allclose(table.scores[0, [0, 1, 3]], [0.05, 0.475, 0.9], atol=1e-3)
    assert (np.diff(table.at_ns) > 0).all()


def test_of_clips_within_a_bucket_the_highest_score_counts() -> None:
    table = action_scores(keep_all(CLIPS), prompt_config(), ("still",), every_ns=round(2 * SPEC.segment_s * NS_PER_S))
    np.testing.assert_allclose(table.scores, [[0.9, 0.9, 0.9], [0.05, 0.9, 0.05]], atol=1e-3)
    assert list(table.at_ns) == [CLIPS[number].wall_ns for number in (1, 3, 5)]


def test_only_what_came_after_a_moment_is_returned_with_the_average_of_what_was_before() -> None:
    table = action_scores(keep_all(CLIPS), prompt_config(smoothing_s=0.4), ("still",), since_ns=CLIPS[4].wall_ns)
    assert list(table.at_ns) == [CLIPS[5].wall_ns]
    assert table.scores[0, 0] == pytest.approx(decided(CLIPS, 0.4)[5]["left"], abs=1e-6)


def test_without_clips_there_are_no_moments() -> None:
    table = action_scores(keep_all([]), prompt_config(), ("still",), since_ns=WALL_NS)
    assert (table.scores.shape, len(table.at_ns)) == ((2, 0), 0)
