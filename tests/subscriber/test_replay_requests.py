"""Missing events are requested from their host: how often, for how long, and what its replies mean."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.delivery.commands import RateLimit, Replay, parse
from edge_tdn.messages import NS_PER_S, Reply
from edge_tdn.subscriber import Gap
from edge_tdn.subscriber.gaps import MAX_ANSWER_TIMEOUT_S, MAX_EMPTY_ANSWERS, REQUEST_INTERVAL_S, GapTracker
from tests.support.gaps import BASE, DOOR, GapReader, next_request, reader_with_gap
from tests.support.subscriber import make_event, make_reply


class LossyHosts:
    """Two hosts that answer commands, over a connection that loses messages. Time is a number."""

    def __init__(self, reader: GapReader, kept: dict[str, set[int]], faults: list[bool]) -> None:
        self.reader, self.kept, self._faults = reader, kept, iter(faults)
        self._limits = {topic.rpartition("/")[0]: RateLimit() for topic in kept}
        self._ids: set[str] = set()
        self._last_s: dict[str, float] = {}
        self.replayed = 0  # events that arrived

    def run(self) -> None:
        """Answer requests until no gap is open."""
        for step in range(100_000):
            now_s = step / 4
            for request in self.reader.tracker.due_requests(now_s):
                base = request.topic.removesuffix("/cmd/replay")
                assert now_s - self._last_s.get(base, float("-inf")) >= REQUEST_INTERVAL_S
                self._last_s[base] = now_s
                self._answer(base, request.payload, now_s)
            if not self.reader.tracker.counts.gaps["open"]:
                return
        raise AssertionError("a gap is still open")

    def _answer(self, base: str, payload: bytes, now_s: float) -> None:
        command = parse("replay", payload, [topic.rpartition("/")[2] for topic in self.kept])
        assert isinstance(command, Replay)
        assert command.to_seq
        assert command.id
        assert command.id not in self._ids
        self._ids.add(command.id)
        assert self._limits[base].admits(int(now_s * NS_PER_S))
        if next(self._faults, False):
            return
        topic = f"{base}/{command.camera}"
        requested = range(command.from_seq, command.to_seq + 1)
        sent = [seq for seq in requested if seq in self.kept[topic]]
        answer = make_reply(
            command.id,
            camera=command.camera,
            from_seq=requested[0],
            to_seq=requested[-1],
            sent=len(sent),
            missing=len(requested) - len(sent),
        )
        host = base.rpartition("/")[2]
        events = [make_event(seq, camera=command.camera, host=host, replayed=True) for seq in sent]
        arrived = [event for event in events if not next(self._faults, False)]
        overtakes = next(self._faults, False)  # topics have no order among each other
        if overtakes:
            self._reply(base, answer)
        for event in arrived:
            self.replayed += 1
            self.reader.receive(event, topic)
        if not overtakes and not next(self._faults, False):
            self._reply(base, answer)

    def _reply(self, base: str, answer: Reply) -> None:
        for gap in self.reader.tracker.answered(base, answer):
            self.reader.note(gap)


TOPICS = [DOOR, f"{BASE}/yard", "edge-tdn/there/door"]
LIVE = st.fixed_dictionaries({topic: st.lists(st.integers(1, 30), max_size=20) for topic in TOPICS})
KEPT = st.fixed_dictionaries({topic: st.sets(st.integers(1, 30)) for topic in TOPICS})


@given(LIVE, KEPT, st.lists(st.booleans(), max_size=30).filter(lambda faults: sum(faults) < MAX_EMPTY_ANSWERS))
def test_replays_fill_everything_that_the_hosts_have(
    live: dict[str, list[int]], kept: dict[str, set[int]], faults: list[bool]
) -> None:
    reader = GapReader(GapTracker("me", dict.fromkeys(TOPICS, 0)))
    for topic, seqs in live.items():
        for seq in seqs:
            reader.receive(make_event(seq, camera=topic.rpartition("/")[2], host=topic.split("/")[1]), topic)
    hosts = LossyHosts(reader, kept, faults)
    hosts.run()
    for topic, seqs in live.items():
        published = set(range(1, max(seqs, default=0) + 1))
        assert reader.seqs(topic) == published & (set(seqs) | kept[topic])
    lost = {key for key, gap in reader.gaps.items() if gap.state == "lost"}
    assert lost == {
        (gap.topic, gap.from_seq)
        for gap in reader.gaps.values()
        if reader.missing & {(gap.topic, seq) for seq in range(gap.from_seq, gap.to_seq + 1)}
    }
    reader.check_counts(sum(map(len, live.values())) + hosts.replayed)


@pytest.mark.parametrize("result", [{}, {"missing": 0}, {"missing": "all"}, {"missing": -1}])
def test_third_answer_without_events_gives_the_range_up(result: dict[str, int]) -> None:
    reader, id_ = reader_with_gap(5)
    reported: list[Gap] = []
    for step in range(1, 2 * MAX_EMPTY_ANSWERS):  # 2 to 4, then 6 to 9
        reported += reader.tracker.answered(BASE, make_reply(id_, **result))
        reported += reader.tracker.answered(BASE, make_reply(id_, missing=8))  # the same once more
        _, id_, first, last = next_request(reader.tracker, step * REQUEST_INTERVAL_S)
        assert (first, last) == ((2, 4) if step < MAX_EMPTY_ANSWERS else (6, 9))
    assert reported == []
    (gap,) = reader.tracker.answered(BASE, make_reply(id_, **result))
    assert (gap.state, gap.missing) == ("lost", 7)


def test_host_that_sends_few_events_at_a_time_is_asked_until_all_have_arrived() -> None:
    reader, id_ = reader_with_gap()
    for seq in range(2, 10):
        reader.receive(make_event(seq, replayed=True))
        assert reader.tracker.answered(BASE, make_reply(id_, sent=1, missing=0)) == []
        if seq < 9:
            _, id_, first, _ = next_request(reader.tracker, seq * REQUEST_INTERVAL_S)
            assert first == seq + 1
    assert reader.gaps[DOOR, 2].state == "filled"


def test_lost_part_of_a_gap_is_not_requested_with_the_rest() -> None:
    reader, id_ = reader_with_gap(5)
    assert reader.tracker.answered(BASE, make_reply(id_, missing=3)) == []
    assert next_request(reader.tracker, REQUEST_INTERVAL_S)[2:] == (6, 9)


def test_host_is_not_asked_again_while_it_answers() -> None:
    reader, _ = reader_with_gap()
    for step, seq in enumerate(range(2, 9), 1):
        assert reader.tracker.due_requests(step * 9) == []
        reader.receive(make_event(seq, replayed=True))
    assert reader.tracker.due_requests(72) == []
    assert next_request(reader.tracker, 90)[2:] == (9, 9)


def test_unanswered_gap_does_not_block_the_others() -> None:
    reader, _ = reader_with_gap()
    for seq in (1, 3):
        reader.receive(make_event(seq, camera="yard"), f"{BASE}/yard")
    assert reader.tracker.due_requests(5) == []  # one at a time
    assert [next_request(reader.tracker, now_s)[0] for now_s in (10, 40, 100)] == ["yard", "door", "yard"]


def test_busy_host_is_asked_again_later_and_nothing_is_given_up() -> None:
    reader, id_ = reader_with_gap()
    now_s, requested_s = 0.0, [0.0]
    for _ in range(3 * MAX_EMPTY_ANSWERS):
        busy = make_reply(id_, ok=False, error="busy: 4 replays are under way")
        assert reader.tracker.answered(BASE, busy) == []
        while not (requests := reader.tracker.due_requests(now_s)):
            now_s += 1
        requested_s.append(now_s)
        id_ = json.loads(requests[0].payload)["id"]
    waits = [after - before for before, after in pairwise(requested_s)]
    assert waits[0] == 10
    assert waits == sorted(waits)
    assert reader.gaps[DOOR, 2].state == "open"
    for seq in range(2, 10):
        reader.receive(make_event(seq, replayed=True))
    assert reader.tracker.answered(BASE, make_reply(id_, sent=8, missing=0)) == []
    assert reader.gaps[DOOR, 2].state == "filled"


def test_replies_to_other_commands_are_ignored() -> None:
    reader, id_ = reader_with_gap()
    for base, other in ((BASE, None), (BASE, "you-1"), ("edge-tdn/there", id_)):
        assert reader.tracker.answered(base, make_reply(other, ok=False, error="no")) == []
    assert reader.tracker.counts.gaps["open"] == 1


def test_silent_host_is_asked_less_and_less_often_and_at_once_after_a_reconnect() -> None:
    reader, _ = reader_with_gap()
    requested_s = [step / 4 for step in range(20_000) if reader.tracker.due_requests(step / 4)]
    waits = [after - before for before, after in pairwise(requested_s)]
    assert waits[0] == 20
    assert waits == sorted(waits)
    assert waits[-1] == MAX_ANSWER_TIMEOUT_S
    assert reader.tracker.due_requests(5000) == []
    reader.tracker.reconnected()
    next_request(reader.tracker, 5000)
    assert reader.tracker.due_requests(5009) == []
    _, id_, _, _ = next_request(reader.tracker, 5010)
    reader.tracker.answered(BASE, make_reply(id_))
    next_request(reader.tracker, 5011)
    assert reader.tracker.due_requests(5020) == []
    next_request(reader.tracker, 5021)
