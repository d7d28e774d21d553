"""From scores to actions: when they start, when they end, and what a subscriber is told."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.config import DecideConfig
from edge_tdn.decide import Decider, Origin, softmax
from edge_tdn.messages import NS_PER_MS, NS_PER_S, ActionEvent, ModelRef, Scores

LABELS = ("still", "left", "right")
HOP_MS = 250
SEGMENT_MS = 300
WALL_NS = 1_790_000_000 * NS_PER_S
ORIGIN = Origin("host", "door", "b007", ModelRef(id="m", precision="fp32", sha256="0" * 64))


def scores(n: int, probabilities: tuple[float, ...], wall_jump_ns: int = 0) -> Scores:
    """Clip number n, at n hops from the stream's start, for which the network is this sure."""
    to_ns = n * HOP_MS * NS_PER_MS
    return Scores(
        logits=np.log(np.array(probabilities, np.float32) + 1e-6),
        from_ns=to_ns - 2000 * NS_PER_MS,
        newest_ns=to_ns - SEGMENT_MS * NS_PER_MS,
        to_ns=to_ns,
        wall_ns=WALL_NS + to_ns + wall_jump_ns,
        frames=40,
        dropped=1,
        received_ns=to_ns,
        ready_ns=to_ns,
        taken_ns=to_ns,
        scored_ns=to_ns,
    )


STILL, LEFT, RIGHT = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)


def decider(**settings: float) -> Decider:
    chosen = {"smoothing_clips": 1, "min_length_s": 0.0, "update_interval_s": 0.0, **settings}
    return Decider(DecideConfig.model_validate(chosen), ORIGIN, LABELS, ("still",))


def run(d: Decider, sequence: list[tuple[float, ...]], start: int = 0) -> list[ActionEvent]:
    return [event for n, p in enumerate(sequence, start) for event in d.push(scores(n, p))]


def told(events: list[ActionEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.label) for event in events]


def at(moment: str | None) -> float:
    """Seconds after WALL_NS."""
    assert moment
    return datetime.fromisoformat(moment).timestamp() - WALL_NS / NS_PER_S


def test_an_action_starts_above_one_threshold_and_ends_below_another() -> None:
    d = decider(enter_threshold=0.8, exit_threshold=0.3)
    between = (0.5, 0.45, 0.05)
    events = run(d, [between, STILL, LEFT, between, between, LEFT, STILL, between])
    assert told(events) == [("start", "left"), ("end", "left")]
    assert events[0].id == events[1].id == "host/door/b007/1"
    assert [event.seq for event in events] == [1, 2]
    assert events[1].reason == "below_threshold"
    assert d.action is None


def test_background_never_starts_an_action() -> None:
    assert run(decider(), [STILL] * 10) == []


def test_the_start_is_where_the_score_rose_not_where_it_was_decided() -> None:
    d = decider(min_length_s=1.0)
    events = run(d, [STILL, STILL, LEFT, LEFT, LEFT, LEFT, STILL])
    assert told(events) == [("start", "left"), ("end", "left")]
    assert at(events[0].started_at) == pytest.approx(2 * 0.25 - 0.3, abs=0.001)
    assert at(events[0].window.to) == pytest.approx(5 * 0.25, abs=0.001)
    assert at(events[1].ended_at) == pytest.approx(6 * 0.25, abs=0.001)


def test_a_score_that_does_not_hold_starts_nothing() -> None:
    assert run(decider(min_length_s=1.0), [LEFT, LEFT, STILL, LEFT, LEFT, RIGHT, RIGHT, STILL]) == []


def test_another_label_takes_over_with_a_reason() -> None:
    events = run(decider(exit_threshold=0.0), [LEFT, LEFT, RIGHT, RIGHT])
    assert told(events) == [("start", "left"), ("end", "left"), ("start", "right")]
    assert events[1].reason == "superseded"
    assert events[2].id != events[0].id


def test_smoothing_averages_over_clips() -> None:
    d = decider(smoothing_clips=3, enter_threshold=0.6)
    assert told(run(d, [STILL, STILL, LEFT, LEFT])) == [("start", "left")]
    d = decider(smoothing_clips=3, enter_threshold=0.6)
    assert run(d, [STILL, STILL, LEFT, STILL, STILL, LEFT]) == []


def test_a_rise_is_told_and_so_is_every_interval() -> None:
    d = decider(update_rise=0.1, enter_threshold=0.6)
    events = run(d, [(0.35, 0.62, 0.03), (0.3, 0.66, 0.04), (0.2, 0.77, 0.03), (0.3, 0.65, 0.05)])
    assert told(events) == [("start", "left"), ("update", "left")]
    assert events[1].peak_score > 0.76
    events = run(decider(update_interval_s=1.0), [LEFT] * 11)
    assert [event.type for event in events] == ["start", "update", "update"]


def test_a_break_ends_what_is_open_and_carries_nothing_over() -> None:
    d = decider(smoothing_clips=3, enter_threshold=0.6)
    run(d, [LEFT] * 3)
    events = d.break_off("stream_lost")
    assert told(events) == [("end", "left")]
    assert events[0].reason == "stream_lost"
    assert d.break_off("shutdown") == []
    assert told(run(d, [RIGHT], start=9)) == [("start", "right")]  # no left in its average


def test_a_wall_clock_that_jumps_changes_no_length() -> None:
    d = decider()
    (start,) = d.push(scores(4, LEFT))
    (end,) = d.push(scores(8, STILL, wall_jump_ns=86_400 * NS_PER_S))
    assert start.started_at == end.started_at
    assert at(end.ended_at) - at(end.started_at) == pytest.approx(1.3, abs=0.001)


def test_softmax_of_huge_logits_is_finite() -> None:
    assert softmax(np.array([1e4, -1e4, 0], np.float32)).tolist() == [1.0, 0.0, 0.0]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.tuples(*[st.floats(0, 1)] * 3).filter(lambda p: sum(p) > 0.01)),
        max_size=60,
    ),
    st.integers(1, 4),
    st.floats(0, 1.5),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_any_scores_give_a_proper_life_of_every_action(
    clips: list[tuple[float, ...] | None], smoothing: int, min_length_s: float, thresholds: list[float]
) -> None:
    """Start, updates, end: in this order, once per id; one at a time; none shorter than the minimum; seq + 1."""
    d = decider(
        smoothing_clips=smoothing,
        min_length_s=min_length_s,
        exit_threshold=thresholds[0],
        enter_threshold=thresholds[1],
        update_interval_s=1.0,
    )
    events: list[ActionEvent] = []
    for n, clip in enumerate(clips):
        events += d.break_off("stream_lost") if clip is None else d.push(scores(n, tuple(np.array(clip) / sum(clip))))
    events += d.break_off("shutdown")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    open_id = None
    for event in events:
        assert event.label != "still"
        assert event.peak_score >= event.score - 1e-4
        if event.type == "start":
            assert open_id is None
            assert at(event.window.to) - at(event.started_at) >= min_length_s - 0.002
            open_id = event.id
            assert event.reason is None
        else:
            assert event.id == open_id
            if event.type == "end":
                assert event.reason is not None
                assert at(event.ended_at) >= at(event.started_at)
                open_id = None
    assert open_id is None
    assert len({event.id for event in events if event.type == "start"}) == sum(e.type == "start" for e in events)
