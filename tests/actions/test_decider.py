"""From scores to actions: when they start, when they end, and what a subscriber is told."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.actions.decider import Decider, Origin, interrupted
from edge_tdn.actions.smoothing import softmax
from edge_tdn.config.tables import DecideConfig
from edge_tdn.messages import NS_PER_MS, NS_PER_S, ActionEvent, ModelRef, Scores

LABELS = ("still", "left", "right")
HOP_MS = 250
SEGMENT_MS = 300
WALL_NS = 1_790_000_000 * NS_PER_S
ORIGIN = Origin("host", "door", "b007", ModelRef(id="m", precision="fp32", sha256="0" * 64))


def scores(
    n: int, probabilities: tuple[float, ...], wall_jump_ns: int = 0, stream_began: int = 0, segment_ms: int = SEGMENT_MS
) -> Scores:
    """Clip number n, at n hops from the first stream's start, for which the network is this sure."""
    now_ns = n * HOP_MS * NS_PER_MS
    to_ns = now_ns - stream_began * HOP_MS * NS_PER_MS
    return Scores(
        logits=np.log(np.array(probabilities, np.float32) + 1e-6),
        from_ns=to_ns - 2000 * NS_PER_MS,
        newest_ns=to_ns - segment_ms * NS_PER_MS,
        to_ns=to_ns,
        wall_ns=WALL_NS + now_ns + wall_jump_ns,
        frames=40,
        dropped=1,
        received_ns=now_ns,
        ready_ns=now_ns,
        taken_ns=now_ns,
        scored_ns=now_ns,
    )


STILL, LEFT, RIGHT = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)


def decider(seq: int = 0, **settings: object) -> Decider:
    chosen = {"smoothing_clips": 1, "min_length_s": 0.0, "update_interval_s": 0.0, **settings}
    return Decider(DecideConfig.model_validate(chosen), ORIGIN, LABELS, ("still",), seq)


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
    assert events[1].ended_at == events[2].started_at
    assert at(events[2].started_at) == pytest.approx(2 * 0.25 - 0.3, abs=0.001)


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
    d = decider(min_length_s=1.0)
    assert run(d, [LEFT] * 3) + d.break_off("stream_lost") + run(d, [LEFT], start=3) == []


def test_an_action_begins_where_the_one_before_ended_though_segments_overlap() -> None:
    events = run(decider(), [LEFT, STILL, RIGHT, STILL])
    assert told(events) == [("start", "left"), ("end", "left"), ("start", "right"), ("end", "right")]
    assert at(events[2].started_at) == at(events[1].ended_at) == pytest.approx(0.25, abs=0.001)
    assert at(events[3].ended_at) == pytest.approx(0.75, abs=0.001)


def test_what_takes_over_leaves_the_one_before_its_minimum_length() -> None:
    d = decider(min_length_s=0.8)
    events = [
        event for n, p in enumerate([LEFT, RIGHT, RIGHT, RIGHT]) for event in d.push(scores(n, p, segment_ms=900))
    ]
    assert told(events) == [("start", "left"), ("end", "left"), ("start", "right")]
    assert at(events[1].ended_at) - at(events[1].started_at) == pytest.approx(0.8, abs=0.001)
    assert events[1].ended_at == events[2].started_at


def test_a_wall_clock_that_jumps_changes_no_length() -> None:
    d = decider()
    (start,) = d.push(scores(4, LEFT))
    (end,) = d.push(scores(8, STILL, wall_jump_ns=86_400 * NS_PER_S))
    assert start.started_at == end.started_at
    assert at(end.ended_at) - at(end.started_at) == pytest.approx(1.3, abs=0.001)


def test_softmax_of_huge_logits_is_finite() -> None:
    assert softmax(np.array([1e4, -1e4, 0], np.float32)).tolist() == [1.0, 0.0, 0.0]


def test_an_action_has_its_own_thresholds_and_the_strongest_that_can_start_does() -> None:
    own = {"name": "left", "enter_threshold": 0.3, "exit_threshold": 0.2}
    events = run(decider(action=[own]), [(0.1, 0.35, 0.55), (0.6, 0.25, 0.15), STILL, (0.1, 0.55, 0.35)])
    assert told(events) == [("start", "left"), ("end", "left"), ("start", "left")]


def test_a_score_that_is_back_within_the_merge_gap_goes_on_as_the_same_action() -> None:
    d = decider(merge_gap_s=0.5)
    events = run(d, [LEFT, STILL, STILL, LEFT, STILL, (0.5, 0.45, 0.05), STILL, LEFT])
    assert told(events) == [("start", "left"), ("end", "left"), ("start", "left")]
    assert events[1].reason == "below_threshold"
    assert at(events[1].ended_at) == pytest.approx(4 * 0.25, abs=0.001)  # where it fell for good
    assert at(events[1].window.to) == pytest.approx(6 * 0.25, abs=0.001)  # where that was known
    assert d.action == "left"
    d = decider(merge_gap_s=2.0, update_interval_s=0.25)
    assert [event.type for event in run(d, [LEFT, LEFT, STILL, STILL, LEFT, LEFT])] == ["start", *["update"] * 3]


def test_what_fell_before_another_starts_ended_for_that() -> None:
    events = run(decider(merge_gap_s=5.0), [LEFT, STILL, STILL, STILL, RIGHT])
    assert told(events) == [("start", "left"), ("end", "left"), ("start", "right")]
    assert events[1].reason == "below_threshold"
    assert at(events[1].ended_at) == pytest.approx(0.25, abs=0.001)
    d = decider(merge_gap_s=5.0)
    run(d, [LEFT, STILL, STILL])
    (end,) = d.break_off("stream_lost")
    assert (end.reason, end.ended_at) == ("below_threshold", events[1].ended_at)


def test_an_action_that_lasts_too_long_is_ended_and_cools_down() -> None:
    events = run(decider(max_length_s=1.0, cool_down_s=2.0), [LEFT] * 14)
    assert [(event.type, event.reason) for event in events] == [("start", None), ("end", "max_length"), ("start", None)]
    lasted = at(events[1].ended_at) - at(events[1].started_at)
    assert lasted == pytest.approx(1.0, abs=0.001)
    assert at(events[2].started_at) - at(events[1].ended_at) == pytest.approx(2.0, abs=0.001)
    both = (0.05, 0.5, 0.45)
    d = decider(max_length_s=1.0, cool_down_s=9.0, enter_threshold=0.4, exit_threshold=0.4)
    assert told(run(d, [both] * 5)) == [("start", "left"), ("end", "left"), ("start", "right")]  # left keeps nobody off


def test_a_cool_down_outlasts_a_break_after_which_the_stream_begins_at_zero() -> None:
    d = decider(cool_down_s=2.0)
    run(d, [LEFT] * 40)
    assert told(d.break_off("stream_lost")) == [("end", "left")]
    events = [event for n in range(42, 60) for event in d.push(scores(n, LEFT, stream_began=42))]
    assert told(events) == [("start", "left")]
    assert at(events[0].started_at) == pytest.approx(39 * 0.25 + 2, abs=0.001)


def test_labels_are_reported_together_under_another_name() -> None:
    d = decider(action=[{"name": "sideways", "labels": ["left", "right"], "enter_threshold": 0.8}])
    events = run(d, [(0.1, 0.5, 0.4), (0.1, 0.1, 0.8), STILL])
    assert told(events) == [("start", "sideways"), ("end", "sideways")]
    assert (events[0].score, events[0].label_index) == (0.9, 1)
    assert d.scores == {"sideways": pytest.approx(0.1, abs=1e-4)}


@pytest.mark.parametrize("settings", [{"only": ["right"]}, {"ignore": ["left"]}])
def test_what_is_not_reported_never_starts(settings: dict[str, list[str]]) -> None:
    assert told(run(decider(**settings), [LEFT, LEFT, RIGHT, LEFT])) == [("start", "right"), ("end", "right")]


def test_several_actions_live_side_by_side() -> None:
    d = decider(several=True, enter_threshold=0.4, exit_threshold=0.2)
    events = run(d, [(0.4, 0.5, 0.1), (0.1, 0.42, 0.48)])
    assert told(events) == [("start", "left"), ("start", "right")]
    assert d.action == "right"
    events = run(d, [(0.7, 0.1, 0.2), STILL], start=2)
    assert [(e.type, e.label, e.reason) for e in events] == [
        ("end", "left", "below_threshold"),
        ("end", "right", "below_threshold"),
    ]


def test_seq_goes_on_where_the_last_start_of_the_daemon_left_it() -> None:
    events = run(decider(seq=41), [LEFT, STILL])
    assert [event.seq for event in events] == [42, 43]
    assert events[0].id == "host/door/b007/42"


def test_thresholds_change_while_it_runs() -> None:
    d = decider()
    between = (0.5, 0.45, 0.05)
    assert run(d, [between]) == []
    d.set_thresholds(0.4, 0.3, "left")
    assert d.thresholds == {"left": (0.4, 0.3), "right": (0.6, 0.4)}
    assert told(run(d, [between], start=1)) == [("start", "left")]
    d.set_thresholds(0.9, 0.5)
    assert told(run(d, [between], start=2)) == [("end", "left")]
    for enter, leave, label, said in (
        (0.4, 0.5, None, "enter threshold 0.4, exit threshold 0.5: 0 <= exit <= enter <= 1"),
        (float("nan"), 0.5, None, "0 <= exit <= enter <= 1"),
        (0.4, 0.3, "lefd", "no action 'lefd' is reported; did you mean 'left'?"),
        (0.4, 0.3, "still", "no action 'still' is reported; there are: left, right"),
    ):
        with pytest.raises(ValueError, match=said):
            d.set_thresholds(enter, leave, label)


OTHER = replace(ORIGIN, model=ModelRef(id="n", precision="fp32", sha256="1" * 64))


def test_what_goes_on_goes_on_under_other_limits_and_another_model_of_the_same_labels() -> None:
    d = decider(enter_threshold=0.8, exit_threshold=0.3)
    events = run(d, [STILL, LEFT])
    events += d.change(DecideConfig(smoothing_clips=1, min_length_s=0, exit_threshold=0.01), OTHER, LABELS, ("still",))
    assert d.action == "left"
    events += run(d, [STILL, STILL], start=2)
    events += d.change(DecideConfig(smoothing_clips=1, min_length_s=0), ORIGIN, LABELS, ("still",))
    events += run(d, [STILL], start=4)
    assert [(event.type, event.seq, event.model.id) for event in events] == [("start", 1, "m"), ("end", 2, "m")]
    assert at(events[1].ended_at) == pytest.approx(4 * 0.25, abs=0.001)


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({}, ("still", "left", "away")),
        ({"ignore": ["left"]}, LABELS),
        ({"several": True}, LABELS),
        ({"action": [{"name": "left", "labels": ["left", "right"]}]}, LABELS),
    ],
)
def test_what_is_not_the_same_ends_and_begins_anew(settings: dict[str, object], labels: tuple[str, ...]) -> None:
    d = decider()
    events = run(d, [STILL, LEFT, LEFT])
    config = DecideConfig.model_validate({"smoothing_clips": 1, "min_length_s": 0.0, **settings})
    events += d.change(config, OTHER, labels, ("still",))
    assert d.action is None
    events += run(d, [LEFT, STILL], start=3)
    ended = events[1]
    assert (ended.type, ended.reason, ended.seq, ended.model.id) == ("end", "shutdown", 2, "m")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    if "ignore" not in settings:
        assert [event.type for event in events] == ["start", "end", "start", "end"]
        assert len({event.id for event in events}) == 2
        assert events[2].started_at >= (ended.ended_at or "")


def test_thresholds_that_were_set_outlast_another_model_but_not_another_configuration() -> None:
    d = decider()
    d.set_thresholds(0.9, 0.8, "left")
    same = DecideConfig(smoothing_clips=1, min_length_s=0.0, update_interval_s=0.0)
    assert d.change(same, OTHER, LABELS, ("still",)) == []
    assert d.thresholds == {"left": (0.9, 0.8), "right": (0.6, 0.4)}
    d.change(same.model_copy(update={"smoothing_clips": 2}), OTHER, LABELS, ("still",))
    assert d.thresholds == {"left": (0.6, 0.4), "right": (0.6, 0.4)}


def test_a_clock_that_is_set_back_is_followed_and_pictures_that_come_late_are_not() -> None:
    for back_s, started_s in ((0.2, 4 * 0.25), (3600, 4 * 0.25 - 3600)):
        d = decider()
        ends = run(d, [LEFT, LEFT, LEFT, LEFT, STILL])
        (start,) = d.push(scores(5, LEFT, wall_jump_ns=round(-back_s * NS_PER_S)))
        assert at(ends[-1].ended_at) == pytest.approx(4 * 0.25, abs=0.001)
        assert at(start.started_at) == pytest.approx(started_s, abs=0.001)


THRESHOLD = st.one_of(st.sampled_from([0.2, 0.4, 0.6]), st.floats(0, 1))


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, object]:
    """Any that is valid: [decide], and in half of them left and right under one name, or left with its own limits."""

    def limits() -> dict[str, object]:
        exit_threshold, enter_threshold = sorted(draw(st.tuples(THRESHOLD, THRESHOLD)))
        min_length_s = draw(st.one_of(st.sampled_from([0.0, 0.5, 0.9]), st.floats(0, 1.5)))
        return {
            "enter_threshold": enter_threshold,
            "exit_threshold": exit_threshold,
            "min_length_s": min_length_s,
            "max_length_s": draw(st.one_of(st.just(0.0), st.floats(max(min_length_s, 0.01), 3))),
            "merge_gap_s": draw(st.one_of(st.just(0.0), st.floats(0, 2))),
            "cool_down_s": draw(st.one_of(st.just(0.0), st.floats(0, 3))),
        }

    exceptions = [{"name": "sideways", "labels": ["left", "right"], **limits()}], [{"name": "left", **limits()}]
    return {
        **limits(),
        "several": draw(st.booleans()),
        "smoothing_clips": draw(st.integers(1, 4)),
        "update_interval_s": draw(st.sampled_from([0.0, 1.0])),
        "action": draw(st.sampled_from([[], [], *exceptions])),
    }


def lives(events: list[ActionEvent]) -> list[tuple[ActionEvent, ActionEvent]]:
    """Start and end of every action; asserts that each has a start, then updates, then an end, under one id."""
    open_starts: dict[str, ActionEvent] = {}
    closed: dict[str, tuple[ActionEvent, ActionEvent]] = {}
    for event in events:
        assert event.id not in closed
        if event.type == "start":
            assert event.id not in open_starts
            open_starts[event.id] = event
        else:
            start = open_starts[event.id]
            assert (start.label, start.started_at) == (event.label, event.started_at)
        assert (event.type == "end") == (event.reason is not None) == (event.ended_at is not None)
        if event.type == "end":
            closed[event.id] = (open_starts.pop(event.id), event)
    assert not open_starts
    return list(closed.values())


CLIP = st.tuples(*[st.floats(0, 1)] * 3).filter(lambda p: sum(p) > 0.01)
OFTEN = st.sampled_from([STILL, LEFT, RIGHT, (0.05, 0.5, 0.45), (0.05, 0.45, 0.5), (0.4, 0.35, 0.25)])


@settings(max_examples=400, deadline=None)
@given(
    configurations(),
    st.lists(st.one_of(OFTEN, OFTEN, OFTEN, CLIP, st.none()), min_size=12, max_size=40),
    st.lists(st.integers(-150, 150), min_size=1, max_size=7),
    st.sampled_from([100, SEGMENT_MS, 900]),
)
def test_any_scores_give_a_proper_life_of_every_action(
    configuration: dict[str, object], clips: list[tuple[float, ...] | None], late_ms: list[int], segment_ms: int
) -> None:
    """Under any configuration, over breaks, with pictures that come early and late."""
    d = decider(7, **configuration)
    config = DecideConfig.model_validate(configuration)
    limits = {action.name: config.of(action) for action in config.action}
    events: list[ActionEvent] = []
    began = 0
    for n, clip in enumerate(clips):
        if clip is None:
            events += d.break_off("stream_lost")
            began = n
        else:
            late_ns = late_ms[n % len(late_ms)] * NS_PER_MS
            events += d.push(scores(n, tuple(np.array(clip) / sum(clip)), late_ns, began, segment_ms))
    events += d.break_off("shutdown")
    assert d.action is None
    assert [event.seq for event in events] == list(range(8, 8 + len(events)))
    before: dict[str, ActionEvent] = {}
    for start, end in sorted(lives(events), key=lambda life: life[0].seq):
        own = limits.get(start.label, config)
        assert start.label in d.thresholds
        assert start.score >= own.enter_threshold - 1e-4
        assert end.peak_score >= start.peak_score - 1e-4
        lasted_s = at(end.ended_at) - at(end.started_at)
        assert lasted_s >= own.min_length_s - 0.002
        assert not own.max_length_s or lasted_s <= own.max_length_s + 0.002
        of_label = before.get(start.label)
        assert not of_label or at(start.started_at) - at(of_label.ended_at) >= own.cool_down_s - 0.31  # twice late_ms
        other = of_label if config.several else before.get("")
        assert not other or start.started_at >= str(other.ended_at)
        before[start.label] = before[""] = end


def test_a_clock_that_is_set_while_an_action_goes_on_changes_no_length() -> None:
    """Not even where the daemon is killed then, and the end is told from the last update."""
    d = decider(update_interval_s=0.5)
    events = d.push(scores(0, LEFT)) + d.push(scores(4, LEFT, wall_jump_ns=-3600 * NS_PER_S))
    update = events[-1]
    assert [event.type for event in events] == ["start", "update"]
    assert update.started_at == events[0].started_at
    assert at(update.window.to) - at(events[0].window.to) == pytest.approx(4 * HOP_MS / 1000)
    assert at(interrupted(events)[0].ended_at) == at(update.window.to)
    (end,) = d.break_off("stream_lost")
    assert at(end.ended_at) == at(update.window.to)
