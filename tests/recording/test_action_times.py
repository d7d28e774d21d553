"""Where in the stream an action's snapshot and clip lie."""

from dataclasses import replace

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.messages import NS_PER_S
from edge_tdn.recording.action_recorder import RecordedZone
from edge_tdn.recording.action_times import MAX_APART_NS, ActionTimes
from tests.support.actions import action_event, clip_scores
from tests.support.fakes import SPEC


def times(main_stream: bool = False, **record: object) -> ActionTimes:
    keys = {"clip": True, "folder": "seen", "pre_roll_s": 1.0, "post_roll_s": 0.5, **record}
    config = Config.model_validate({"record": keys, "camera": [{"name": "door", "source": "demo:"}]})
    zone = RecordedZone(None, SPEC, hop=1, min_length_s=config.decide.min_length_s)
    return ActionTimes.of(zone, config.record, late_s=1.0, main_stream=main_stream)


def test_a_clip_lasts_from_its_pre_roll_to_its_post_roll() -> None:
    one, scores = times(), clip_scores(at_s=10.0)
    assert one.clip_start_ns(action_event(1, "start", 10.0, began_s=9.5), scores) == 8.5 * NS_PER_S
    assert one.clip_end_ns(action_event(2, "end", 10.0), scores) == 10.5 * NS_PER_S


def test_a_merge_gap_makes_no_clip_longer() -> None:
    """The end of an action that fell at 8 s is decided at 10 s."""
    end = action_event(2, "end", 10.0).model_copy(update={"ended_at": action_event(2, "end", 8.0).ended_at})
    assert times().clip_end_ns(end, clip_scores(at_s=10.0)) == 8.5 * NS_PER_S


@pytest.mark.parametrize(("began_s", "start_s"), [(-3590.0, None), (3610.0, 9.0)])
def test_a_wall_clock_that_jumps_moves_no_clip_out_of_the_kept_frames(began_s: float, start_s: float | None) -> None:
    """A start far in the past is limited by what is kept, one in the future by the clip's own end."""
    one, scores = times(), clip_scores(at_s=10.0)
    expected_s = 10.0 - one.kept_s if start_s is None else start_s
    start_ns = one.clip_start_ns(action_event(1, "start", 10.0, began_s), scores)
    assert start_ns == pytest.approx(expected_s * NS_PER_S, abs=1)


def test_a_snapshot_shows_the_centre_of_its_clip() -> None:
    scores = clip_scores(at_s=10.0, clip_s=1.0)
    centre_ns, within_ns = times().snapshot(scores)
    assert centre_ns == scores.from_ns + 6 * NS_PER_S // 10  # two segments of two ticks, and two ticks: x3
    assert within_ns == (scores.from_ns, scores.to_ns)


def test_times_in_a_main_stream_are_on_the_hosts_clock() -> None:
    scores = replace(clip_scores(at_s=10.0), received_ns=500 * NS_PER_S)
    sub, main = times(), times(main_stream=True)
    end = action_event(2, "end", 10.0)
    assert main.clip_end_ns(end, scores) - sub.clip_end_ns(end, scores) == 490 * NS_PER_S
    centre_ns, within_ns = main.snapshot(scores)
    assert within_ns == (centre_ns - MAX_APART_NS, centre_ns + MAX_APART_NS)


def test_frames_are_kept_until_the_event_that_may_need_them() -> None:
    assert times(clip=False).kept_s == pytest.approx((SPEC.ticks - 6) / SPEC.frame_rate + 1.0)
    assert times(pre_roll_s=5.0).kept_s - times(pre_roll_s=1.0).kept_s == pytest.approx(4.0)
