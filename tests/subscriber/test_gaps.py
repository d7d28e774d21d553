"""Every event is reported once, and every missing one as part of a gap, in whatever order they arrive."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.messages import ActionEvent
from edge_tdn.subscriber import Gap, Recount
from edge_tdn.subscriber.gaps import MAX_BELOW_SINCE, MAX_MISSING_RANGES, GapTracker
from tests.support.gaps import BASE, DOOR, GapReader, next_request, reader_with_gap
from tests.support.subscriber import make_event, make_reply

ARRIVALS = st.lists(st.integers(1, 40), min_size=1, max_size=80)  # lost, duplicated, out of order
RESTARTS = st.sets(st.integers(2, 40), max_size=6)


def boot_of(seq: int, restarts: set[int]) -> str:
    return f"b{sum(seq >= restart for restart in restarts)}"


@given(ARRIVALS, RESTARTS)
def test_every_number_is_received_once_or_reported_as_missing(arrivals: list[int], restarts: set[int]) -> None:
    reader = GapReader(GapTracker("me", {DOOR: 0}))
    for count, seq in enumerate(arrivals, 1):
        reader.receive(make_event(seq, boot_of(seq, restarts)))
        arrived = set(arrivals[:count])
        assert reader.seqs() == arrived
        assert reader.missing == {(DOOR, seq) for seq in set(range(1, max(arrived))) - arrived}
        assert reader.tracker.complete() == {DOOR: min(set(range(1, max(arrived) + 2)) - arrived) - 1}
    assert not reader.recounts
    reader.check_counts(len(arrivals))


@given(ARRIVALS)
def test_without_since_tracking_starts_with_the_first_event(arrivals: list[int]) -> None:
    reader = GapReader(GapTracker("me"))
    reader.receive(make_event(3, replayed=True))  # for another subscriber: not the first event
    for seq in arrivals:
        reader.receive(make_event(seq))
    later = {seq for seq in arrivals if seq >= arrivals[0]}
    assert reader.seqs() == later
    assert reader.missing == {(DOOR, seq) for seq in set(range(arrivals[0], max(later))) - later}
    reader.check_counts(len(arrivals) + 1)


@given(ARRIVALS, st.sets(st.integers(2, 40), max_size=3))
def test_no_event_is_reported_twice_when_old_boots_follow_new_ones(arrivals: list[int], restarts: set[int]) -> None:
    tracker, received = GapTracker("me"), set[int]()
    for seq in arrivals:
        for news in tracker.receive(DOOR, make_event(seq, boot_of(seq, restarts))):
            if isinstance(news, ActionEvent):
                assert news.seq not in received
                received.add(news.seq)


def test_thousands_of_events_may_be_sent_again_after_a_crash() -> None:
    """Those of several boots, then the new boot's; and a gap of thousands of events, in one answer."""
    reader = GapReader(GapTracker("me", {DOOR: 0}))
    first = [make_event(seq, f"b{seq // 1000}") for seq in range(1, 4001)]
    last = make_event(9000, "b9")
    for event in (*first, *first, last):
        reader.receive(event)
    assert (reader.tracker.counts.received, reader.tracker.counts.duplicates) == (4001, 4000)
    id_ = next_request(reader.tracker, 0)[1]
    for seq in range(4001, 9000):
        reader.receive(make_event(seq, "b9", replayed=True))
    assert reader.tracker.answered(BASE, make_reply(id_, sent=4999, missing=0)) == []
    assert reader.gaps[DOOR, 4001].state == "filled"
    for event in first:
        reader.receive(event)
    assert not reader.recounts
    reader.check_counts(3 * 4000 + 5000)


def test_event_before_the_first_one_is_reported_as_a_recount() -> None:
    """Such an event cannot be distinguished from a new sequence; the others are tracked as before."""
    reader = GapReader(GapTracker("me"))
    for seq, boot in ((5, "b2"), (4, "b1"), (6, "b2"), (7, "b3")):
        reader.receive(make_event(seq, boot))
    assert reader.seqs() == {4, 5, 6, 7}
    assert reader.recounts == [Recount(DOOR, 4, 5)]
    assert not reader.gaps


def test_new_sequence_is_reported_and_its_events_are_not_duplicates() -> None:
    reader = GapReader(GapTracker("me"))
    for seq in (500, *range(505, 601)):
        reader.receive(make_event(seq, "old"))
    for seq in (1, 2, 2, 5, 4, 3, 600):
        reader.receive(make_event(seq, "old" if seq == 600 else "new"))
    reader.receive(make_event(6, "newest"))  # a restart continues the sequence
    assert reader.recounts == [Recount(DOOR, 1, 600)]
    assert reader.gaps[DOOR, 501] == Gap(DOOR, 501, 504, "lost", 4, "the host has started a new sequence")
    assert reader.gaps[DOOR, 3].state == "filled"
    assert reader.seqs() == {500, *range(505, 601), *range(1, 7)}
    assert reader.tracker.complete() == {DOOR: 6}
    reader.check_counts(97 + 8)


def test_new_sequence_within_the_old_range_is_recognised_by_its_boot() -> None:
    reader = GapReader(GapTracker("me"))
    for seq in (10, 11, 13):
        reader.receive(make_event(seq, "old"))
    reader.receive(make_event(12, "new"))
    assert reader.recounts == [Recount(DOOR, 12, 13)]


def test_two_daemons_with_one_name_are_two_sequences() -> None:
    """They are not a recount with every event."""
    reader = GapReader(GapTracker("me"))
    for seq in range(1, 50):
        reader.receive(make_event(seq + 100, "one"))
        reader.receive(make_event(seq, "two"))
    assert len(reader.recounts) == 1
    assert len(reader.received) == 98


@pytest.mark.parametrize(("below", "recounts"), [(0, 0), (MAX_BELOW_SINCE - 1, 0), (MAX_BELOW_SINCE, 1), (400, 1)])
def test_events_just_below_since_count_as_handled(below: int, recounts: int) -> None:
    reader = GapReader(GapTracker("me", {DOOR: 500}))
    reader.receive(make_event(500 - below))
    assert len(reader.recounts) == recounts == len(reader.received)


def test_remembered_gaps_are_bounded_and_forgotten_ones_reported() -> None:
    reader = GapReader(GapTracker("me", {DOOR: 0}))
    for seq in range(2, 4 * MAX_MISSING_RANGES + 1, 2):  # every second one is lost
        reader.receive(make_event(seq))
    counts = reader.tracker.counts
    assert (counts.gaps["open"], counts.gaps["lost"]) == (MAX_MISSING_RANGES, MAX_MISSING_RANGES)
    assert len(reader.gaps) == 2 * MAX_MISSING_RANGES
    reader.receive(make_event(1))
    assert counts.too_old == 1
    reader.receive(make_event(4 * MAX_MISSING_RANGES - 1))
    assert counts.gaps["filled"] == 1
    one_large = GapTracker("me", {DOOR: 0})
    for seq in (2**62, *range(2, 2 * MAX_MISSING_RANGES + 10, 2)):  # one gap, in more and more ranges
        one_large.receive(DOOR, make_event(seq))
    assert one_large.counts.gaps["lost"] == 1


def test_filled_gaps_old_boots_and_old_sequences_take_no_memory() -> None:
    filled, restarted, recounted = GapTracker("me"), GapTracker("me"), GapTracker("me")
    for seq in range(2, 4000, 2):
        filled.receive(DOOR, make_event(seq + 1))
        filled.receive(DOOR, make_event(seq))
        restarted.receive(DOOR, make_event(seq, f"boot{seq}"))
        restarted.receive(DOOR, make_event(seq + 1, f"boot{seq}"))
        recounted.receive(DOOR, make_event(1, f"boot{seq}"))
    assert recounted.counts.recounts == 1998
    assert filled.counts.gaps["filled"] > 1990
    assert len(pickle.dumps(filled)) < 1000
    assert len(pickle.dumps(restarted)) < 10_000
    assert len(pickle.dumps(recounted)) < 2000


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"ok": False, "error": "no such camera\x1b[2J"}, "no such camera[2J"),
        ({"ok": False}, "the host rejected the replay"),
        ({"missing": 8}, "the host no longer has them"),
        ({"missing": 2**70}, "the host no longer has them"),
    ],
)
def test_lost_events_that_arrive_still_fill_the_gap(answer: dict[str, int], reason: str) -> None:
    reader, id_ = reader_with_gap()
    (gap,) = reader.tracker.answered(BASE, make_reply(id_, **answer))  # type: ignore[arg-type]
    assert gap == Gap(DOOR, 2, 9, "lost", 8, reason)
    assert reader.tracker.due_requests(1000) == []
    for seq in range(2, 10):
        reader.receive(make_event(seq))
    assert reader.gaps[DOOR, 2].state == "filled"
    assert reader.tracker.counts.gaps["lost"] == 0
