"""What other thresholds would have given."""

import pytest

from edge_tdn.actions.decider import Decider
from edge_tdn.hub.host_access import ZonePlace
from edge_tdn.hub.kept_scores import KeptScores
from edge_tdn.hub.what_if import WhatIf, WhatIfRuns, WouldBe
from edge_tdn.messages import NS_PER_S
from tests.support.clips import clip_at, kept_scores, place_with, sure_of
from tests.support.decisions import LABELS, ORIGIN, prompt_config
from tests.support.fakes import SPEC

WEAK, STRONG, NONE = (0.4, 0.55, 0.05), (0.05, 0.9, 0.05), (0.9, 0.05, 0.05)
COURSE = [NONE, STRONG, NONE, WEAK, WEAK, NONE, NONE, WEAK]
CLIPS = [clip_at(number, sure_of(shares)) for number, shares in enumerate(COURSE)]


def tried(kept: KeptScores, place: ZonePlace, enter: float, leave: float, label: str | None = None) -> WhatIf:
    """Return what thresholds would have given, as a slider that was not moved before has it."""
    return WhatIfRuns().what_if(kept, place, "door", enter, leave, label)


def labels(actions: tuple[WouldBe, ...]) -> list[str]:
    return [action.label for action in actions]


def test_the_actions_in_force_are_those_that_were_published() -> None:
    decider = Decider(prompt_config(), ORIGIN, LABELS, ("still",))
    events = [event for clip in CLIPS for event in decider.push(clip)]
    (end,) = (event for event in events if event.type == "end")
    found = tried(kept_scores(CLIPS), place_with(), 0.6, 0.4)
    assert found.now == (WouldBe("left", end.started_at, end.ended_at, end.peak_score),)
    assert found.then == found.now
    assert found.seconds == pytest.approx(7 * SPEC.segment_s)


def test_lower_thresholds_would_have_given_more_and_one_is_still_under_way() -> None:
    found = tried(kept_scores(CLIPS), place_with(), 0.5, 0.4)
    assert (len(found.now), len(found.then)) == (1, 3)
    assert [action.ended_at is None for action in found.then] == [False, False, True]
    assert found.then[1].peak == pytest.approx(0.55, abs=1e-3)


def test_the_thresholds_in_force_are_those_that_were_commanded() -> None:
    place = place_with(thresholds=(0.95, 0.4), actions={"left": (0.5, 0.4), "gone": (0.1, 0.1)})
    assert len(tried(kept_scores(CLIPS), place, 0.95, 0.4).now) == 3


def test_thresholds_for_one_action_leave_the_others_as_they_are() -> None:
    found = tried(kept_scores(CLIPS), place_with(), 0.99, 0.4, "right")
    assert labels(found.then) == labels(found.now) == ["left"]
    assert labels(tried(kept_scores(CLIPS), place_with(), 0.99, 0.4, "left").then) == []


@pytest.mark.parametrize(("enter", "leave", "label"), [(0.3, 0.4, None), (1.2, 0.4, None), (0.5, 0.4, "leap")])
def test_thresholds_that_cannot_be_set_cannot_be_tried(enter: float, leave: float, label: str | None) -> None:
    with pytest.raises(ValueError, match=r"threshold|no action 'leap'"):
        tried(kept_scores(CLIPS), place_with(), enter, leave, label)


def test_a_break_ends_what_was_under_way() -> None:
    rows = [CLIPS[0], CLIPS[1], "stream_lost", CLIPS[2]]
    (action,) = tried(kept_scores(rows), place_with(), 0.6, 0.4).now
    assert action.ended_at is not None


def test_of_many_labels_no_action_stands_for_the_rest() -> None:
    many = tuple(f"label {number}" for number in range(100))
    flat = [clip_at(number, [0.0] * 100) for number in range(4)]
    place = place_with(labels=many, background=())
    assert tried(kept_scores(flat, many), place, 0.05, 0.0).then == ()


def test_scores_are_read_again_after_two_seconds_only() -> None:
    now_ns = 0
    runs = WhatIfRuns(lambda: now_ns)
    kept, place = KeptScores(LABELS, SPEC, 100), place_with()
    kept.scored(CLIPS[1])
    assert len(runs.what_if(kept, place, "door", 0.6, 0.4).now) == 1
    for clip in CLIPS[2:4]:
        kept.scored(clip)
    assert runs.what_if(kept, place, "door", 0.5, 0.4).seconds == 0
    now_ns = 2 * NS_PER_S
    found = runs.what_if(kept, place, "door", 0.5, 0.4)
    assert found.seconds == pytest.approx(2 * SPEC.segment_s)
    assert (len(found.now), len(found.then)) == (1, 2)


def test_other_limits_or_another_zone_are_not_confused_with_those_before() -> None:
    runs = WhatIfRuns(lambda: 0)
    kept = KeptScores(LABELS, SPEC, 100)
    for clip in CLIPS:
        kept.scored(clip)
    assert len(runs.what_if(kept, place_with(), "door", 0.6, 0.4).now) == 1
    assert len(runs.what_if(kept, place_with(thresholds=(0.5, 0.4)), "door", 0.6, 0.4).now) == 3
    assert runs.what_if(KeptScores(LABELS, SPEC, 10), place_with(), "door", 0.6, 0.4).now == ()
