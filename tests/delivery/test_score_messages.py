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


def test_scores_after_which_connections_keep_ending_are_left_out_for_a_while() -> None:
    harness = ScoresHarness()
    for _ in range(MAX_ENDINGS):
        assert harness.scores.may_send(SCORES)
        harness.scores.disconnected(blame=True)
    assert list(harness.scores.denials) == [SCORES.topic]
    assert not harness.scores.may_send(SCORES)
    assert harness.scores.may_send(OTHERS)
    harness.now_s += TIMING.max_probe_s
    assert harness.scores.denials == {}
    assert harness.scores.may_send(SCORES)
    harness.scores.disconnected(blame=True)
    assert not harness.scores.may_send(SCORES), "once is enough now"
    harness.scores.forget()
    assert harness.scores.may_send(SCORES), "another broker"


def test_scores_that_do_not_fit_are_not_sent() -> None:
    harness = ScoresHarness()
    harness.limits.refused(Message("here/door/events", b"x" * 850))
    assert not harness.scores.may_send(SCORES)
    assert harness.scores.may_send(OTHERS)


def test_a_broker_that_names_another_reason_does_not_blame_scores() -> None:
    harness = ScoresHarness()
    for _ in range(3 * MAX_ENDINGS):
        assert harness.scores.may_send(SCORES)
        harness.scores.disconnected(blame=False)


def test_an_acknowledgement_shows_that_scores_did_not_end_the_connection() -> None:
    harness = ScoresHarness()
    for _ in range(3 * MAX_ENDINGS):
        assert harness.scores.may_send(SCORES)
        harness.scores.acknowledged()
        harness.scores.disconnected(blame=True)
    for _ in range(MAX_ENDINGS - 1):
        assert harness.scores.may_send(SCORES)
        harness.scores.disconnected(blame=True)
    harness.scores.may_send(SCORES)
    harness.scores.acknowledged()
    harness.scores.disconnected(blame=True)
    assert harness.scores.may_send(SCORES)
