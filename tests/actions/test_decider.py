"""From scores to actions: when they start and end, and which events are published."""

from dataclasses import replace

import pytest

from edge_tdn.actions.decider import interrupted
from edge_tdn.config.tables import DecideConfig
from edge_tdn.messages import NS_PER_S, ActionEvent, ModelRef
from tests.support.decisions import HOP_MS, LABELS, LEFT, ORIGIN, RIGHT, STILL, at, decider, run, scores


def kinds(events: list[ActionEvent]) -> list[tuple[str, str]]:
    """Return type and label of each event."""
    return [(event.type, event.label) for event in events]


def test_an_action_starts_at_the_enter_threshold_and_ends_below_the_exit_threshold() -> None:
    d = decider(enter_threshold=0.8, exit_threshold=0.3)
    between = (0.5, 0.45, 0.05)
    events = run(d, [between, STILL, LEFT, between, between, LEFT, STILL, between])
    assert kinds(events) == [("start", "left"), ("end", "left")]
    assert events[0].id == events[1].id == "host/door/b007/1"
    assert [event.seq for event in events] == [1, 2]
    assert events[1].reason == "below_threshold"
    assert d.action is None


def test_a_background_label_never_starts_an_action() -> None:
    assert run(decider(), [STILL] * 10) == []


def test_an_action_is_dated_to_the_rise_of_its_score() -> None:
    d = decider(min_length_s=1.0)
    events = run(d, [STILL, STILL, LEFT, LEFT, LEFT, LEFT, STILL])
    assert kinds(events) == [("start", "left"), ("end", "left")]
    assert at(events[0].started_at) == pytest.approx(2 * 0.25 - 0.3, abs=0.001)
    assert at(events[0].window.to) == pytest.approx(5 * 0.25, abs=0.001)
    assert at(events[1].ended_at) == pytest.approx(6 * 0.25, abs=0.001)


def test_a_score_that_falls_within_the_minimum_length_starts_nothing() -> None:
    assert run(decider(min_length_s=1.0), [LEFT, LEFT, STILL, LEFT, LEFT, RIGHT, RIGHT, STILL]) == []


def test_a_stronger_action_supersedes_the_active_one() -> None:
    events = run(decider(exit_threshold=0.0), [LEFT, LEFT, RIGHT, RIGHT])
    assert kinds(events) == [("start", "left"), ("end", "left"), ("start", "right")]
    assert events[1].reason == "superseded"
    assert events[2].id != events[0].id
    assert events[1].ended_at == events[2].started_at
    assert at(events[2].started_at) == pytest.approx(2 * 0.25 - 0.3, abs=0.001)


def test_scores_are_averaged_over_the_smoothing_clips() -> None:
    d = decider(smoothing_clips=3, enter_threshold=0.6)
    assert kinds(run(d, [STILL, STILL, LEFT, LEFT])) == [("start", "left")]
    d = decider(smoothing_clips=3, enter_threshold=0.6)
    assert run(d, [STILL, STILL, LEFT, STILL, STILL, LEFT]) == []


def test_updates_are_published_at_a_rise_and_at_every_interval() -> None:
    d = decider(update_rise=0.1, enter_threshold=0.6)
    events = run(d, [(0.35, 0.62, 0.03), (0.3, 0.66, 0.04), (0.2, 0.77, 0.03), (0.3, 0.65, 0.05)])
    assert kinds(events) == [("start", "left"), ("update", "left")]
    assert events[1].peak_score > 0.76
    events = run(decider(update_interval_s=1.0), [LEFT] * 11)
    assert [event.type for event in events] == ["start", "update", "update"]


def test_a_break_ends_the_active_action_and_clears_the_average() -> None:
    d = decider(smoothing_clips=3, enter_threshold=0.6)
    run(d, [LEFT] * 3)
    events = d.break_off("stream_lost")
    assert kinds(events) == [("end", "left")]
    assert events[0].reason == "stream_lost"
    assert d.break_off("shutdown") == []
    assert kinds(run(d, [RIGHT], start=9)) == [("start", "right")]  # no left in its average
    d = decider(min_length_s=1.0)
    assert run(d, [LEFT] * 3) + d.break_off("stream_lost") + run(d, [LEFT], start=3) == []


def test_an_action_starts_where_the_previous_one_ended_even_if_segments_overlap() -> None:
    events = run(decider(), [LEFT, STILL, RIGHT, STILL])
    assert kinds(events) == [("start", "left"), ("end", "left"), ("start", "right"), ("end", "right")]
    assert at(events[2].started_at) == at(events[1].ended_at) == pytest.approx(0.25, abs=0.001)
    assert at(events[3].ended_at) == pytest.approx(0.75, abs=0.001)


def test_a_superseded_action_keeps_its_minimum_length() -> None:
    d = decider(min_length_s=0.8)
    events = [
        event for n, p in enumerate([LEFT, RIGHT, RIGHT, RIGHT]) for event in d.push(scores(n, p, segment_ms=900))
    ]
    assert kinds(events) == [("start", "left"), ("end", "left"), ("start", "right")]
    assert at(events[1].ended_at) - at(events[1].started_at) == pytest.approx(0.8, abs=0.001)
    assert events[1].ended_at == events[2].started_at


def test_a_wall_clock_jump_does_not_change_an_actions_length() -> None:
    d = decider()
    (start,) = d.push(scores(4, LEFT))
    (end,) = d.push(scores(8, STILL, wall_jump_ns=86_400 * NS_PER_S))
    assert start.started_at == end.started_at
    assert at(end.ended_at) - at(end.started_at) == pytest.approx(1.3, abs=0.001)


def test_an_action_may_have_its_own_thresholds_and_the_strongest_candidate_starts() -> None:
    own = {"name": "left", "enter_threshold": 0.3, "exit_threshold": 0.2}
    events = run(decider(action=[own]), [(0.1, 0.35, 0.55), (0.6, 0.25, 0.15), STILL, (0.1, 0.55, 0.35)])
    assert kinds(events) == [("start", "left"), ("end", "left"), ("start", "left")]


def test_a_score_that_returns_within_the_merge_gap_continues_the_same_action() -> None:
    d = decider(merge_gap_s=0.5)
    events = run(d, [LEFT, STILL, STILL, LEFT, STILL, (0.5, 0.45, 0.05), STILL, LEFT])
    assert kinds(events) == [("start", "left"), ("end", "left"), ("start", "left")]
    assert events[1].reason == "below_threshold"
    assert at(events[1].ended_at) == pytest.approx(4 * 0.25, abs=0.001)  # where it fell for the last time
    assert at(events[1].window.to) == pytest.approx(6 * 0.25, abs=0.001)  # where that was decided
    assert d.action == "left"
    d = decider(merge_gap_s=2.0, update_interval_s=0.25)
    assert [event.type for event in run(d, [LEFT, LEFT, STILL, STILL, LEFT, LEFT])] == ["start", *["update"] * 3]


def test_a_fallen_action_ends_below_threshold_even_if_another_one_starts() -> None:
    events = run(decider(merge_gap_s=5.0), [LEFT, STILL, STILL, STILL, RIGHT])
    assert kinds(events) == [("start", "left"), ("end", "left"), ("start", "right")]
    assert events[1].reason == "below_threshold"
    assert at(events[1].ended_at) == pytest.approx(0.25, abs=0.001)
    d = decider(merge_gap_s=5.0)
    run(d, [LEFT, STILL, STILL])
    (end,) = d.break_off("stream_lost")
    assert (end.reason, end.ended_at) == ("below_threshold", events[1].ended_at)


def test_an_action_ends_at_its_maximum_length_and_cools_down() -> None:
    events = run(decider(max_length_s=1.0, cool_down_s=2.0), [LEFT] * 14)
    assert [(event.type, event.reason) for event in events] == [("start", None), ("end", "max_length"), ("start", None)]
    lasted = at(events[1].ended_at) - at(events[1].started_at)
    assert lasted == pytest.approx(1.0, abs=0.001)
    assert at(events[2].started_at) - at(events[1].ended_at) == pytest.approx(2.0, abs=0.001)
    both = (0.05, 0.5, 0.45)
    d = decider(max_length_s=1.0, cool_down_s=9.0, enter_threshold=0.4, exit_threshold=0.4)
    assert kinds(run(d, [both] * 5)) == [
        ("start", "left"),
        ("end", "left"),
        ("start", "right"),
    ]  # left does not block it


def test_a_cool_down_outlasts_a_reconnect_whose_timestamps_restart_at_zero() -> None:
    d = decider(cool_down_s=2.0)
    run(d, [LEFT] * 40)
    assert kinds(d.break_off("stream_lost")) == [("end", "left")]
    events = [event for n in range(42, 60) for event in d.push(scores(n, LEFT, stream_began=42))]
    assert kinds(events) == [("start", "left")]
    assert at(events[0].started_at) == pytest.approx(39 * 0.25 + 2, abs=0.001)


def test_several_labels_are_reported_under_one_name() -> None:
    d = decider(action=[{"name": "sideways", "labels": ["left", "right"], "enter_threshold": 0.8}])
    events = run(d, [(0.1, 0.5, 0.4), (0.1, 0.1, 0.8), STILL])
    assert kinds(events) == [("start", "sideways"), ("end", "sideways")]
    assert (events[0].score, events[0].label_index) == (0.9, 1)
    assert d.scores == {"sideways": pytest.approx(0.1, abs=1e-4)}


@pytest.mark.parametrize("settings", [{"only": ["right"]}, {"ignore": ["left"]}])
def test_an_ignored_action_never_starts(settings: dict[str, list[str]]) -> None:
    assert kinds(run(decider(**settings), [LEFT, LEFT, RIGHT, LEFT])) == [("start", "right"), ("end", "right")]


def test_several_actions_are_active_at_once() -> None:
    d = decider(several=True, enter_threshold=0.4, exit_threshold=0.2)
    events = run(d, [(0.4, 0.5, 0.1), (0.1, 0.42, 0.48)])
    assert kinds(events) == [("start", "left"), ("start", "right")]
    assert d.action == "right"
    events = run(d, [(0.7, 0.1, 0.2), STILL], start=2)
    assert [(e.type, e.label, e.reason) for e in events] == [
        ("end", "left", "below_threshold"),
        ("end", "right", "below_threshold"),
    ]


def test_event_numbers_continue_after_a_restart_of_the_daemon() -> None:
    events = run(decider(seq=41), [LEFT, STILL])
    assert [event.seq for event in events] == [42, 43]
    assert events[0].id == "host/door/b007/42"


def test_thresholds_can_be_changed_at_run_time() -> None:
    d = decider()
    between = (0.5, 0.45, 0.05)
    assert run(d, [between]) == []
    d.set_thresholds(0.4, 0.3, "left")
    assert d.thresholds == {"left": (0.4, 0.3), "right": (0.6, 0.4)}
    assert kinds(run(d, [between], start=1)) == [("start", "left")]
    d.set_thresholds(0.9, 0.5)
    assert kinds(run(d, [between], start=2)) == [("end", "left")]
    for enter, leave, label, message in (
        (0.4, 0.5, None, "enter threshold 0.4, exit threshold 0.5: 0 <= exit <= enter <= 1"),
        (float("nan"), 0.5, None, "0 <= exit <= enter <= 1"),
        (0.4, 0.3, "lefd", "no action 'lefd' is reported; did you mean 'left'?"),
        (0.4, 0.3, "still", "no action 'still' is reported; there are: left, right"),
    ):
        with pytest.raises(ValueError, match=message):
            d.set_thresholds(enter, leave, label)


def test_an_exit_threshold_that_is_left_out_stays_or_is_lowered_to_the_enter_threshold() -> None:
    """The status has the thresholds of all actions once, and those that differ by name."""
    d = decider(action=[{"name": "right", "exit_threshold": 0.1}])
    assert d.set_thresholds(0.8) == (0.8, 0.4)
    assert d.thresholds == {"left": (0.8, 0.4), "right": (0.8, 0.1)}
    assert d.set_thresholds(0.3, label="left") == (0.3, 0.3)
    assert d.camera_thresholds.model_dump() == {
        "enter": 0.8,
        "exit": 0.4,
        "actions": {"left": {"enter": 0.3, "exit": 0.3}, "right": {"enter": 0.8, "exit": 0.1}},
    }
    assert d.set_thresholds(0.2) == (0.2, 0.2)
    assert d.thresholds == {"left": (0.2, 0.2), "right": (0.2, 0.1)}
    d.set_thresholds(0.5, 0.4)
    assert d.camera_thresholds.model_dump() == {"enter": 0.5, "exit": 0.4, "actions": {}}
    d.change(DecideConfig(enter_threshold=0.9), ORIGIN, LABELS, ("still",))
    assert d.camera_thresholds.model_dump() == {"enter": 0.9, "exit": 0.4, "actions": {}}


OTHER = replace(ORIGIN, model=ModelRef(id="n", precision="fp32", sha256="1" * 64))


def test_an_active_action_continues_with_other_limits_and_another_model_of_the_same_labels() -> None:
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
def test_an_active_action_ends_if_its_labels_or_several_change(
    settings: dict[str, object], labels: tuple[str, ...]
) -> None:
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


def test_thresholds_set_at_run_time_outlast_a_new_model_but_not_a_new_configuration() -> None:
    d = decider()
    d.set_thresholds(0.9, 0.8, "left")
    same = DecideConfig(smoothing_clips=1, min_length_s=0.0, update_interval_s=0.0)
    assert d.change(same, OTHER, LABELS, ("still",)) == []
    assert d.thresholds == {"left": (0.9, 0.8), "right": (0.6, 0.4)}
    d.change(same.model_copy(update={"smoothing_clips": 2}), OTHER, LABELS, ("still",))
    assert d.thresholds == {"left": (0.6, 0.4), "right": (0.6, 0.4)}


def test_a_start_follows_a_wall_clock_that_is_set_back_but_not_late_frames() -> None:
    for back_s, started_s in ((0.2, 4 * 0.25), (3600, 4 * 0.25 - 3600)):
        d = decider()
        ends = run(d, [LEFT, LEFT, LEFT, LEFT, STILL])
        (start,) = d.push(scores(5, LEFT, wall_jump_ns=round(-back_s * NS_PER_S)))
        assert at(ends[-1].ended_at) == pytest.approx(4 * 0.25, abs=0.001)
        assert at(start.started_at) == pytest.approx(started_s, abs=0.001)


def test_a_clock_change_during_an_action_does_not_change_its_length() -> None:
    """Even if the daemon is killed then, and the end is derived from the last update."""
    d = decider(update_interval_s=0.5)
    events = d.push(scores(0, LEFT)) + d.push(scores(4, LEFT, wall_jump_ns=-3600 * NS_PER_S))
    update = events[-1]
    assert [event.type for event in events] == ["start", "update"]
    assert update.started_at == events[0].started_at
    assert at(update.window.to) - at(events[0].window.to) == pytest.approx(4 * HOP_MS / 1000)
    assert at(interrupted(events)[0].ended_at) == at(update.window.to)
    (end,) = d.break_off("stream_lost")
    assert at(end.ended_at) == at(update.window.to)
