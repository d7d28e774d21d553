"""Any scores under any configuration give actions with one start and one end, within their limits."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.config.tables import DecideConfig
from edge_tdn.messages import NS_PER_MS, ActionEvent
from tests.support.decisions import LEFT, RIGHT, SEGMENT_MS, STILL, at, decider, scores

THRESHOLD = st.one_of(st.sampled_from([0.2, 0.4, 0.6]), st.floats(0, 1))


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, object]:
    """Draw a valid [decide]; in half of them left and right share a name, or left has limits of its own."""

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
        "smoothing_s": draw(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1.2))),
        "update_interval_s": draw(st.sampled_from([0.0, 1.0])),
        "action": draw(st.sampled_from([[], [], *exceptions])),
    }


def lives(events: list[ActionEvent]) -> list[tuple[ActionEvent, ActionEvent]]:
    """Return start and end of every action; assert that each has a start, then updates, then an end, under one id."""
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
def test_every_action_has_one_start_and_one_end_within_its_limits(
    configuration: dict[str, object], clips: list[tuple[float, ...] | None], late_ms: list[int], segment_ms: int
) -> None:
    """For any scores and configuration, across breaks, with frames that arrive early and late."""
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
