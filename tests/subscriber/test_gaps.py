"""Nothing twice, and nothing missed without a word: whatever gets lost, doubled, mixed up and sent again on the way."""

import json
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.delivery.commands import RateLimit, Replay, parse
from edge_tdn.messages import NS_PER_S, ActionEvent, EventWindow, ModelRef, Reply
from edge_tdn.subscriber.gaps import (
    BELOW_MOST,
    FRUITLESS_MOST,
    PACE_S,
    PIECES_MOST,
    SILENCE_MOST_S,
    Gap,
    Ledger,
    Recount,
)

BASE = "edge-tdn/here"
DOOR = f"{BASE}/door"
MOMENT = "2026-03-01T12:00:00.000Z"


def event(seq: int, boot: str = "b1", camera: str = "door", host: str = "here", replayed: bool = False) -> ActionEvent:
    return ActionEvent(
        id=f"{host}/{camera}/{boot}/{seq}", seq=seq, type="start", host=host, camera=camera, label="left",
        label_index=1, score=0.9, peak_score=0.9, started_at=MOMENT, replayed=replayed,
        window=EventWindow(from_=MOMENT, to=MOMENT, frames=40, dropped=0),
        model=ModelRef(id="m", precision="fp32", sha256="0" * 64),
    )  # fmt: skip


def reply(id_: str | None, ok: bool = True, error: str = "", **result: int | str) -> Reply:
    return Reply(command="replay", id=id_, ok=ok, error=error, result=dict(result))


class Reader:
    """Who knows nothing but what the ledger tells."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.heard: set[tuple[str, str, int]] = set()
        self.missed: set[tuple[str, int]] = set()  # told to be, and not come
        self.gaps: dict[tuple[str, int], Gap] = {}  # the last word on each
        self.recounts: list[Recount] = []

    def take(self, item: ActionEvent, topic: str = DOOR) -> None:
        for one in self.ledger.take(topic, item):
            match one:
                case ActionEvent():
                    assert one is item
                    assert (topic, one.id, one.seq) not in self.heard, "told twice"
                    self.heard.add((topic, one.id, one.seq))
                    self.missed.discard((topic, one.seq))
                case Gap():
                    self.note(one)
                case Recount():
                    self.recounts.append(one)

    def note(self, gap: Gap) -> None:
        inside = {(gap.topic, seq) for seq in range(gap.from_seq, gap.to_seq + 1)}
        if gap.state == "open":
            assert (gap.topic, gap.from_seq) not in self.gaps
            self.missed |= inside
        assert gap.missing == len(inside & self.missed)
        assert (gap.missing == 0) == (gap.state == "filled")
        assert bool(gap.reason) == (gap.state == "lost")
        self.gaps[gap.topic, gap.from_seq] = gap

    def seqs(self, topic: str = DOOR) -> set[int]:
        return {seq for place, _, seq in self.heard if place == topic}

    def check_the_tally(self, taken: int) -> None:
        tally = self.ledger.tally
        assert tally.received == len(self.heard)
        assert tally.received + tally.duplicates + tally.too_old == taken
        assert tally.recounts == len(self.recounts)
        states = [gap.state for gap in self.gaps.values()]
        assert {state: states.count(state) for state in ("open", "filled", "lost")} == {
            state: tally.gaps[state] for state in ("open", "filled", "lost")
        }


ARRIVALS = st.lists(st.integers(1, 40), min_size=1, max_size=80)  # lost, doubled, mixed up
RESTARTS = st.sets(st.integers(2, 40), max_size=6)


def boot_of(seq: int, restarts: set[int]) -> str:
    return f"b{sum(seq >= restart for restart in restarts)}"


@given(ARRIVALS, RESTARTS)
def test_every_number_is_heard_once_or_known_to_be_missing(arrivals: list[int], restarts: set[int]) -> None:
    reader = Reader(Ledger("me", {DOOR: 0}))
    for place, seq in enumerate(arrivals, 1):
        reader.take(event(seq, boot_of(seq, restarts)))
        heard = set(arrivals[:place])
        assert reader.seqs() == heard
        assert reader.missed == {(DOOR, seq) for seq in set(range(1, max(heard))) - heard}
        assert reader.ledger.complete() == {DOOR: min(set(range(1, max(heard) + 2)) - heard) - 1}
    assert not reader.recounts
    reader.check_the_tally(len(arrivals))


@given(ARRIVALS)
def test_without_since_the_first_event_is_the_beginning(arrivals: list[int]) -> None:
    reader = Reader(Ledger("me"))
    reader.take(event(3, replayed=True))  # for somebody else: no beginning
    for seq in arrivals:
        reader.take(event(seq))
    later = {seq for seq in arrivals if seq >= arrivals[0]}
    assert reader.seqs() == later
    assert reader.missed == {(DOOR, seq) for seq in set(range(arrivals[0], max(later))) - later}
    reader.check_the_tally(len(arrivals) + 1)


@given(ARRIVALS, st.sets(st.integers(2, 40), max_size=3))
def test_nothing_is_told_twice_even_where_old_boots_come_after_new_ones(
    arrivals: list[int], restarts: set[int]
) -> None:
    reader = Reader(Ledger("me"))
    for seq in arrivals:
        for one in reader.ledger.take(DOOR, event(seq, boot_of(seq, restarts))):
            if isinstance(one, ActionEvent):
                assert one.seq not in reader.seqs()
                reader.heard.add((DOOR, one.id, one.seq))


class World:
    """Two hosts that answer commands, and a line to them on which things get lost. Time is a number."""

    def __init__(self, reader: Reader, kept: dict[str, set[int]], faults: list[bool]) -> None:
        self.reader, self.kept, self._faults = reader, kept, iter(faults)
        self._limits = {topic.rpartition("/")[0]: RateLimit() for topic in kept}
        self._ids: set[str] = set()
        self._last_s: dict[str, float] = {}
        self.taken = 0

    def run(self) -> None:
        """Until nothing is waited for."""
        for step in range(100_000):
            now_s = step / 4
            for ask in self.reader.ledger.due(now_s):
                base = ask.topic.removesuffix("/cmd/replay")
                assert now_s - self._last_s.get(base, float("-inf")) >= PACE_S
                self._last_s[base] = now_s
                self._answer(base, ask.payload, now_s)
            if not self.reader.ledger.tally.gaps["open"]:
                return
        raise AssertionError("still waiting")

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
        wanted = range(command.from_seq, command.to_seq + 1)
        sent = [seq for seq in wanted if seq in self.kept[topic]]
        answer = reply(
            command.id, camera=command.camera, from_seq=wanted[0], to_seq=wanted[-1], sent=len(sent),
            missing=len(wanted) - len(sent),
        )  # fmt: skip
        events = [event(seq, camera=command.camera, host=base.rpartition("/")[2], replayed=True) for seq in sent]
        arrived = [one for one in events if not next(self._faults, False)]
        overtakes = next(self._faults, False)  # another topic, another order
        if overtakes:
            self._hear(base, answer)
        for one in arrived:
            self.taken += 1
            self.reader.take(one, topic)
        if not overtakes and not next(self._faults, False):
            self._hear(base, answer)

    def _hear(self, base: str, answer: Reply) -> None:
        for gap in self.reader.ledger.answered(base, answer):
            self.reader.note(gap)


TOPICS = [DOOR, f"{BASE}/yard", "edge-tdn/there/door"]
HEARD = st.fixed_dictionaries({topic: st.lists(st.integers(1, 30), max_size=20) for topic in TOPICS})
KEPT = st.fixed_dictionaries({topic: st.sets(st.integers(1, 30)) for topic in TOPICS})


@given(HEARD, KEPT, st.lists(st.booleans(), max_size=30).filter(lambda faults: sum(faults) < FRUITLESS_MOST))
def test_replays_fill_all_that_the_hosts_have(
    heard: dict[str, list[int]], kept: dict[str, set[int]], faults: list[bool]
) -> None:
    reader = Reader(Ledger("me", dict.fromkeys(TOPICS, 0)))
    for topic, seqs in heard.items():
        for seq in seqs:
            reader.take(event(seq, camera=topic.rpartition("/")[2], host=topic.split("/")[1]), topic)
    world = World(reader, kept, faults)
    world.run()
    for topic, seqs in heard.items():
        there = set(range(1, max(seqs, default=0) + 1))
        assert reader.seqs(topic) == there & (set(seqs) | kept[topic])
    lost = {place for place, gap in reader.gaps.items() if gap.state == "lost"}
    assert lost == {
        (gap.topic, gap.from_seq)
        for gap in reader.gaps.values()
        if reader.missed & {(gap.topic, seq) for seq in range(gap.from_seq, gap.to_seq + 1)}
    }
    reader.check_the_tally(sum(map(len, heard.values())) + world.taken)


def asked_for(ledger: Ledger, now_s: float) -> tuple[str, str, int, int]:
    """Camera, id and numbers of the one command that is due."""
    (ask,) = ledger.due(now_s)
    command = json.loads(ask.payload)
    return command["camera"], command["id"], command["from_seq"], command["to_seq"]


def opened(*middle: int) -> tuple[Reader, str]:
    """A reader that misses 2 to 9 but for `middle`, and the id of the command that asks for them."""
    reader = Reader(Ledger("me"))
    for seq in (1, 10, *middle):
        reader.take(event(seq))
    return reader, asked_for(reader.ledger, 0)[1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"ok": False, "error": "no such camera\x1b[2J"}, "no such camera[2J"),
        ({"ok": False}, "the host refuses"),
        ({"missing": 8}, "the host has it no more"),
        ({"missing": 2**70}, "the host has it no more"),
    ],
)
def test_what_a_host_cannot_replay_is_told_and_may_come_all_the_same(answer: dict[str, int], reason: str) -> None:
    reader, id_ = opened()
    (gap,) = reader.ledger.answered(BASE, reply(id_, **answer))  # type: ignore[arg-type]
    assert gap == Gap(DOOR, 2, 9, "lost", 8, reason)
    assert reader.ledger.due(1000) == []
    for seq in range(2, 10):
        reader.take(event(seq))
    assert reader.gaps[DOOR, 2].state == "filled"
    assert reader.ledger.tally.gaps["lost"] == 0


@pytest.mark.parametrize("result", [{}, {"missing": 0}, {"missing": "all"}, {"missing": -1}])
def test_an_answer_that_brings_nothing_is_believed_the_third_time(result: dict[str, int]) -> None:
    reader, id_ = opened(5)
    told: list[Gap] = []
    for step in range(1, 2 * FRUITLESS_MOST):  # 2 to 4, then 6 to 9
        told += reader.ledger.answered(BASE, reply(id_, **result))
        told += reader.ledger.answered(BASE, reply(id_, missing=8))  # the same once more
        _, id_, first, last = asked_for(reader.ledger, step * PACE_S)
        assert (first, last) == ((2, 4) if step < FRUITLESS_MOST else (6, 9))
    assert told == []
    (gap,) = reader.ledger.answered(BASE, reply(id_, **result))
    assert (gap.state, gap.missing) == ("lost", 7)


def test_a_host_that_sends_little_at_a_time_is_asked_until_all_is_there() -> None:
    reader, id_ = opened()
    for seq in range(2, 10):
        reader.take(event(seq, replayed=True))
        assert reader.ledger.answered(BASE, reply(id_, sent=1, missing=0)) == []
        if seq < 9:
            _, id_, first, _ = asked_for(reader.ledger, seq * PACE_S)
            assert first == seq + 1
    assert reader.gaps[DOOR, 2].state == "filled"


def test_what_is_lost_of_a_gap_is_not_asked_for_with_the_rest() -> None:
    reader, id_ = opened(5)
    assert reader.ledger.answered(BASE, reply(id_, missing=3)) == []
    assert asked_for(reader.ledger, PACE_S)[2:] == (6, 9)


def test_a_host_is_not_asked_again_while_it_answers() -> None:
    reader, _ = opened()
    for place, seq in enumerate(range(2, 9), 1):
        assert reader.ledger.due(place * 9) == []
        reader.take(event(seq, replayed=True))
    assert reader.ledger.due(72) == []
    assert asked_for(reader.ledger, 90)[2:] == (9, 9)


def test_a_gap_that_is_never_answered_does_not_keep_the_others_waiting() -> None:
    reader, _ = opened()
    for seq in (1, 3):
        reader.take(event(seq, camera="yard"), f"{BASE}/yard")
    assert reader.ledger.due(5) == []  # one at a time
    assert [asked_for(reader.ledger, now_s)[0] for now_s in (10, 40, 100)] == ["yard", "door", "yard"]


def test_a_busy_host_is_asked_again_later_and_nothing_is_given_up() -> None:
    reader, id_ = opened()
    now_s, asked_s = 0.0, [0.0]
    for _ in range(3 * FRUITLESS_MOST):
        assert reader.ledger.answered(BASE, reply(id_, ok=False, error="busy: 4 replays are under way")) == []
        while not (asks := reader.ledger.due(now_s)):
            now_s += 1
        asked_s.append(now_s)
        id_ = json.loads(asks[0].payload)["id"]
    waits = [after - before for before, after in pairwise(asked_s)]
    assert waits[0] == 10
    assert waits == sorted(waits)
    assert reader.gaps[DOOR, 2].state == "open"
    for seq in range(2, 10):
        reader.take(event(seq, replayed=True))
    assert reader.ledger.answered(BASE, reply(id_, sent=8, missing=0)) == []
    assert reader.gaps[DOOR, 2].state == "filled"


def test_thousands_of_events_may_come_again_after_a_crash() -> None:
    """Those of several boots, then the new boot's; and a gap larger than any window, in one answer."""
    reader = Reader(Ledger("me", {DOOR: 0}))
    first = [event(seq, f"b{seq // 1000}") for seq in range(1, 4001)]
    last = event(9000, "b9")
    for one in (*first, *first, last):
        reader.take(one)
    assert (reader.ledger.tally.received, reader.ledger.tally.duplicates) == (4001, 4000)
    id_ = asked_for(reader.ledger, 0)[1]
    for seq in range(4001, 9000):
        reader.take(event(seq, "b9", replayed=True))
    assert reader.ledger.answered(BASE, reply(id_, sent=4999, missing=0)) == []
    assert reader.gaps[DOOR, 4001].state == "filled"
    for one in first:
        reader.take(one)
    assert not reader.recounts
    reader.check_the_tally(3 * 4000 + 5000)


def test_answers_to_others_mean_nothing() -> None:
    reader, id_ = opened()
    for base, other in ((BASE, None), (BASE, "you-1"), ("edge-tdn/there", id_)):
        assert reader.ledger.answered(base, reply(other, ok=False, error="no")) == []
    assert reader.ledger.tally.gaps["open"] == 1


def test_an_event_from_before_the_first_one_does_no_harm() -> None:
    """It cannot be told from a new count: it is told as one, and the books of the rest go on."""
    reader = Reader(Ledger("me"))
    for seq, boot in ((5, "b2"), (4, "b1"), (6, "b2"), (7, "b3")):
        reader.take(event(seq, boot))
    assert reader.seqs() == {4, 5, 6, 7}
    assert reader.recounts == [Recount(DOOR, 4, 5)]
    assert not reader.gaps


def test_a_silent_host_is_asked_less_and_less_often_and_at_once_after_a_reconnect() -> None:
    reader, _ = opened()
    asked_s = [step / 4 for step in range(20_000) if reader.ledger.due(step / 4)]
    waits = [after - before for before, after in pairwise(asked_s)]
    assert waits[0] == 20
    assert waits == sorted(waits)
    assert waits[-1] == SILENCE_MOST_S
    assert reader.ledger.due(5000) == []
    reader.ledger.reconnected()
    asked_for(reader.ledger, 5000)
    assert reader.ledger.due(5009) == []
    _, id_, _, _ = asked_for(reader.ledger, 5010)
    reader.ledger.answered(BASE, reply(id_))
    asked_for(reader.ledger, 5011)
    assert reader.ledger.due(5020) == []
    asked_for(reader.ledger, 5021)


def test_a_host_that_counts_anew_is_told_and_its_events_are_no_duplicates() -> None:
    reader = Reader(Ledger("me"))
    for seq in (500, *range(505, 601)):
        reader.take(event(seq, "old"))
    for seq in (1, 2, 2, 5, 4, 3, 600):
        reader.take(event(seq, "old" if seq == 600 else "new"))
    reader.take(event(6, "newest"))  # a restart: it goes on
    assert reader.recounts == [Recount(DOOR, 1, 600)]
    assert reader.gaps[DOOR, 501] == Gap(DOOR, 501, 504, "lost", 4, "the host counts anew")
    assert reader.gaps[DOOR, 3].state == "filled"
    assert reader.seqs() == {500, *range(505, 601), *range(1, 7)}
    assert reader.ledger.complete() == {DOOR: 6}
    reader.check_the_tally(97 + 8)


def test_a_count_that_starts_anew_inside_the_old_one_is_seen_by_its_boot() -> None:
    reader = Reader(Ledger("me"))
    for seq in (10, 11, 13):
        reader.take(event(seq, "old"))
    reader.take(event(12, "new"))
    assert reader.recounts == [Recount(DOOR, 12, 13)]


def test_two_daemons_under_one_name_are_two_counts_and_not_a_restart_with_every_event() -> None:
    reader = Reader(Ledger("me"))
    for seq in range(1, 50):
        reader.take(event(seq + 100, "one"))
        reader.take(event(seq, "two"))
    assert len(reader.recounts) == 1
    assert len(reader.heard) == 98


@pytest.mark.parametrize(("back", "recounts"), [(0, 0), (BELOW_MOST - 1, 0), (BELOW_MOST, 1), (400, 1)])
def test_what_was_dealt_with_earlier_may_be_sent_again(back: int, recounts: int) -> None:
    reader = Reader(Ledger("me", {DOOR: 500}))
    reader.take(event(500 - back))
    assert len(reader.recounts) == recounts == len(reader.heard)


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_told() -> None:
    reader = Reader(Ledger("me", {DOOR: 0}))
    for seq in range(2, 4 * PIECES_MOST + 1, 2):  # every second one is lost
        reader.take(event(seq))
    tally = reader.ledger.tally
    assert (tally.gaps["open"], tally.gaps["lost"]) == (PIECES_MOST, PIECES_MOST)
    assert len(reader.gaps) == 2 * PIECES_MOST
    reader.take(event(1))
    assert tally.too_old == 1
    reader.take(event(4 * PIECES_MOST - 1))
    assert tally.gaps["filled"] == 1
    one_large = Ledger("me", {DOOR: 0})
    for seq in (2**62, *range(2, 2 * PIECES_MOST + 10, 2)):  # one gap, in ever more pieces
        one_large.take(DOOR, event(seq))
    assert one_large.tally.gaps["lost"] == 1


def test_gaps_that_were_filled_old_boots_and_old_counts_take_no_room() -> None:
    filled, restarted, anew = Ledger("me"), Ledger("me"), Ledger("me")
    for seq in range(2, 4000, 2):
        filled.take(DOOR, event(seq + 1))
        filled.take(DOOR, event(seq))
        restarted.take(DOOR, event(seq, f"boot{seq}"))
        restarted.take(DOOR, event(seq + 1, f"boot{seq}"))
        anew.take(DOOR, event(1, f"boot{seq}"))
    assert anew.tally.recounts == 1998
    assert filled.tally.gaps["filled"] > 1990
    assert len(pickle.dumps(filled)) < 1000
    assert len(pickle.dumps(restarted)) < 10_000
    assert len(pickle.dumps(anew)) < 2000
