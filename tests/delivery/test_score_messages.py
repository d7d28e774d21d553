"""Tests of scores, which no broker acknowledges."""

from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.score_messages import MAX_ENDINGS, ScoreMessages
from edge_tdn.delivery.timing import PublisherTiming

TIMING = PublisherTiming()
SCORES = Message("here/door/scores", b"x" * 900, qos=0)
OTHERS = Message("here/gate/scores", b"x" * 800, qos=0)


class ScoresHarness:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.limits = BrokerLimits(TIMING, lambda: self.now_s)
        self.scores = ScoreMessages(self.limits, TIMING, lambda: self.now_s)


def test_scores_after_which_connections_keep_ending_are_left_out_as_too_large() -> None:
    harness = ScoresHarness()
    harness.limits.accepted(Message("here/door/status", b"x" * 700))
    for _ in range(MAX_ENDINGS):
        assert harness.scores.may_send(SCORES)
        harness.scores.disconnected()
    assert not harness.scores.may_send(SCORES)
    assert harness.scores.may_send(OTHERS), "they are smaller"
    harness.limits.forget()
    assert harness.scores.may_send(SCORES), "another broker"


def test_scores_on_a_forbidden_topic_are_tried_again_later() -> None:
    """Larger messages were acknowledged, so their size is not the reason."""
    harness = ScoresHarness()
    harness.limits.accepted(Message("here/door/status", b"x" * 2000))
    for _ in range(MAX_ENDINGS):
        assert harness.scores.may_send(SCORES)
        harness.scores.disconnected()
    assert list(harness.scores.denials) == [SCORES.topic]
    assert not harness.scores.may_send(SCORES)
    assert harness.scores.may_send(OTHERS)
    harness.now_s += TIMING.max_probe_s
    assert harness.scores.may_send(SCORES)
    assert harness.scores.denials == {}


def test_an_acknowledgement_shows_that_scores_did_not_end_the_connection() -> None:
    harness = ScoresHarness()
    for _ in range(3 * MAX_ENDINGS):
        assert harness.scores.may_send(SCORES)
        harness.scores.acknowledged()
        harness.scores.disconnected()
    for _ in range(MAX_ENDINGS - 1):
        assert harness.scores.may_send(SCORES)
        harness.scores.disconnected()
    harness.scores.may_send(SCORES)
    harness.scores.acknowledged()
    harness.scores.disconnected()
    assert harness.scores.may_send(SCORES)
