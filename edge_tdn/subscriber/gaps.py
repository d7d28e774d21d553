"""Tracks which events of each camera have arrived, and which are missing.

A camera numbers its events 1, 2, 3, ... over every restart of its host's daemon (`seq`), and an event keeps its number
when it is sent again. So a number that has already arrived is a duplicate, and a number that was skipped is a gap,
which the host is asked to replay. A gap shows with the next event of its camera, not before.

An event's `id` names the boot of the daemon that published it. Boots follow each other: within one sequence, no two
boots share a range of numbers. An unknown boot with numbers that have arrived from another one means that the host has
lost its outbox and starts again at 1: a new sequence. Each sequence is tracked by itself, so that late events of the
old one stay duplicates. A new sequence that begins above the highest number so far cannot be distinguished from a gap.

Pure: no clock, no I/O; `now_s` is the monotonic clock.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge_tdn.delivery.commands import MAX_COMMANDS, RATE_WINDOW_S
from edge_tdn.messages import ActionEvent, Reply

MAX_BELOW_SINCE = 100  # an event this far below `since` counts as handled; further below it starts a new sequence
MAX_BOOTS = 200  # remembered of a sequence; any number of events of these may be sent again
MAX_SEQUENCES = 4  # remembered of a camera
MAX_MISSING_RANGES = 1000  # remembered of a sequence

ANSWER_TIMEOUT_S, MAX_ANSWER_TIMEOUT_S = 10.0, 320.0  # before a replay is requested again; doubles each time
REQUEST_INTERVAL_S = 2 * RATE_WINDOW_S / MAX_COMMANDS  # half the rate that a host accepts: others send commands, too
MAX_EMPTY_ANSWERS = 3  # answers for one gap without a new event, before it is lost
MAX_REASON_LENGTH = 200  # characters of a host's error message
BUSY = "busy"  # begins the error message of a host that is occupied with other replays

State = Literal["open", "filled", "lost"]
_Ranges = list[tuple[int, int]]  # first and last number, both included; ascending


@dataclass(frozen=True)
class Gap:
    """Events that were published and have not arrived.

    Reported when it opens, when all of it has arrived, and when its host cannot replay the rest. Events that arrive
    after that still fill it.
    """

    topic: str  # of the camera: <base>/<camera>
    from_seq: int
    to_seq: int
    state: State
    missing: int  # events of it that have not arrived
    reason: str = ""  # why it is lost


@dataclass(frozen=True)
class Recount:
    """The host numbers its events from 1 again, because its outbox was deleted. What was lost with it is unknown."""

    topic: str  # of the camera: <base>/<camera>
    seq: int  # first event of the new sequence to arrive
    highest_seq: int  # of the old sequence


@dataclass
class EventCounts:
    """Counts of events and gaps since the start."""

    received: int = 0  # events, including replayed ones
    duplicates: int = 0
    too_old: int = 0  # events ignored as possible duplicates: before the first event, or of a forgotten gap
    recounts: int = 0
    gaps: Counter[State] = field(default_factory=Counter)  # how many gaps are in each state now


@dataclass(frozen=True)
class CommandMessage:
    """A command to publish."""

    topic: str
    payload: bytes  # JSON


class _TrackedGap:
    """The missing numbers of a gap."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.open: _Ranges = [(first, last)]
        self.lost: _Ranges = []
        self.reason = ""
        self.requests = 0
        self.empty_answers = 0  # since an event arrived

    @property
    def state(self) -> State:
        return "open" if self.open else "lost" if self.lost else "filled"

    def count_open(self, first: int = 0, last: int | None = None) -> int:
        """Return how many of the numbers from `first` to `last` are open."""
        return sum(b - a + 1 for a, b in self.open if first <= a and (last is None or b <= last))

    def fill(self, seq: int) -> bool:
        """Remove a number; return whether it was missing."""
        filled = _remove(self.open, seq) or _remove(self.lost, seq)
        if filled:
            self.empty_answers = 0
        return filled

    def give_up(self, first: int, last: int, reason: str) -> None:
        """Mark the open numbers from `first` to `last` as lost. No open range may reach over these bounds."""
        lost = [piece for piece in self.open if first <= piece[0] <= last]
        self.open = [piece for piece in self.open if not first <= piece[0] <= last]
        self.lost = sorted(self.lost + lost)
        self.reason = reason if lost else self.reason


class _Sequence:
    """One unbroken numbering of a camera's events."""

    def __init__(self, highest: int) -> None:
        self.highest = highest  # number that has arrived
        self.floor = highest + 1  # nothing is known about lower numbers
        self.boots: dict[str, tuple[int, int]] = {}  # lowest and highest number that has arrived from each
        self.gaps: list[_TrackedGap] = []  # ascending

    def fits(self, boot: str, seq: int) -> bool:
        """Return whether the boot can have published this number in this sequence."""
        if boot in self.boots or seq > self.highest:
            return True
        if not self.boots:  # the number came from the user
            return self.highest - seq < MAX_BELOW_SINCE
        return self.gap_at(seq) is not None and not any(low <= seq <= high for low, high in self.boots.values())

    def add_boot(self, boot: str, seq: int) -> None:
        """Remember that the boot has published this number."""
        low, high = self.boots.get(boot, (seq, seq))
        self.boots[boot] = min(low, seq), max(high, seq)
        if len(self.boots) > MAX_BOOTS:
            del self.boots[min(self.boots, key=lambda known: self.boots[known][1])]

    def gap_at(self, seq: int) -> _TrackedGap | None:
        """Return the gap around this number, missing or not."""
        place = bisect_right(self.gaps, seq, key=lambda gap: gap.first) - 1
        return self.gaps[place] if place >= 0 and seq <= self.gaps[place].last else None

    def has_too_many_ranges(self) -> bool:
        return sum(len(gap.open) + len(gap.lost) for gap in self.gaps) > MAX_MISSING_RANGES


class _HostRequest:
    """The latest replay request to one host."""

    def __init__(self) -> None:
        self.id: str | None = None  # of the command, until it is answered
        self.topic = ""  # of the camera
        self.gap = _TrackedGap(0, 0)
        self.range = (0, 0)  # of the gap
        self.open = 0  # numbers of the gap that were missing at the last look
        self.timeout_s = ANSWER_TIMEOUT_S
        self.answer_by_s = 0.0
        self.next_request_s = float("-inf")  # earliest time of the next command


class GapTracker:
    """Tracks the events of all cameras; a camera is identified by its topic, <base>/<camera>.

    Owned by one thread. `name`: begins the ids of the commands, and must be unique. `since`: the last `seq` that was
    handled earlier; events after it that do not arrive are a gap. Without, tracking starts with a camera's first event.
    """

    def __init__(self, name: str, since: Mapping[str, int] | None = None) -> None:
        self.counts = EventCounts()
        self._name = name
        # by topic; the sequence that grew last comes last
        self._cameras = {topic: [_Sequence(seq)] for topic, seq in (since or {}).items()}
        self._hosts: dict[str, _HostRequest] = {}  # by <base>
        self._requests = 0

    def receive(self, topic: str, event: ActionEvent) -> list[ActionEvent | Gap | Recount]:
        """Return what is new with an event: nothing if it is a duplicate, else the event and changes of gaps."""
        boot, seq = event.id.rpartition("/")[0], event.seq
        sequences = self._cameras.setdefault(topic, [])
        newest = sequences[-1] if sequences else None
        sequence = next((known for known in sequences if boot in known.boots), newest)
        news: list[ActionEvent | Gap | Recount] = []
        if sequence is None or not sequence.fits(boot, seq):
            if event.replayed:  # for another subscriber
                self.counts.too_old += 1
                return []
            if sequence:
                news += [*self._give_up_all(topic, sequences), Recount(topic, seq, sequence.highest)]
                self.counts.recounts += 1
            sequence = _Sequence(seq - 1)
            sequences.append(sequence)
            del sequences[:-MAX_SEQUENCES]
        elif seq > sequence.highest:
            sequences.sort(key=lambda known: known is sequence)
        sequence.add_boot(boot, seq)
        return news + self._add(topic, sequence, event)

    def due_requests(self, now_s: float) -> list[CommandMessage]:
        """Return the commands to send now: one per host at a time, first for the gap with the fewest requests."""
        open_gaps: dict[str, list[tuple[str, _TrackedGap]]] = {}
        for topic, sequences in self._cameras.items():
            gaps = [(topic, gap) for gap in sequences[-1].gaps if gap.open] if sequences else []
            open_gaps.setdefault(topic.rpartition("/")[0], []).extend(gaps)
        return [
            self._request(base, gaps, now_s)
            for base, gaps in open_gaps.items()
            if gaps and self._may_request(self._hosts.setdefault(base, _HostRequest()), now_s)
        ]

    def answered(self, base: str, reply: Reply) -> list[Gap]:
        """Return how a host's reply changes the requested gap; nothing if the reply is for another subscriber."""
        host = self._hosts.get(base)
        if host is None or host.id is None or reply.id != host.id:
            return []
        if not reply.ok and reply.error.startswith(BUSY):  # treated as no answer: requested again, ever later
            return []
        host.id, host.timeout_s = None, ANSWER_TIMEOUT_S
        gap, before = host.gap, host.gap.state
        missing = reply.result.get("missing")
        if not reply.ok:
            error = "".join(c for c in reply.error[:MAX_REASON_LENGTH] if c.isprintable())
            gap.give_up(gap.first, gap.last, error or "the host rejected the replay")
        elif isinstance(missing, int) and gap.count_open(*host.range) <= missing:
            gap.give_up(*host.range, "the host no longer has them")
        else:  # the reply may have been faster than the events
            gap.empty_answers += 1
            if gap.empty_answers == MAX_EMPTY_ANSWERS:
                gap.empty_answers = 0
                gap.give_up(*host.range, "sent again, but did not arrive")
        return self._changed(host.topic, gap, before)

    def reconnected(self) -> None:
        """Forget the requests without a reply, which may be lost: open gaps are requested again."""
        for host in self._hosts.values():
            host.id, host.timeout_s = None, ANSWER_TIMEOUT_S

    def complete(self) -> dict[str, int]:
        """Return for each camera the `seq` up to which nothing is missing: `since` of the next run."""
        return {
            topic: min([sequences[-1].highest, *(gap.open[0][0] - 1 for gap in sequences[-1].gaps if gap.open)])
            for topic, sequences in self._cameras.items()
            if sequences
        }

    def _add(self, topic: str, sequence: _Sequence, event: ActionEvent) -> list[ActionEvent | Gap | Recount]:
        seq, news = event.seq, list[ActionEvent | Gap | Recount]()
        if seq > sequence.highest:
            if seq > sequence.highest + 1:
                gap = _TrackedGap(sequence.highest + 1, seq - 1)
                sequence.gaps.append(gap)
                self.counts.gaps["open"] += 1
                news += [*self._forget_oldest(topic, sequence), _report(topic, gap)]
            sequence.highest = seq
            news.append(event)
            self.counts.received += 1
            return news
        found = sequence.gap_at(seq)
        before = found.state if found else "filled"
        if found and found.fill(seq):
            news += [event, *self._changed(topic, found, before)]
            self.counts.received += 1
            if found.state == "filled":
                sequence.gaps.remove(found)
            news += self._forget_oldest(topic, sequence)
        elif seq < sequence.floor:
            self.counts.too_old += 1
        else:
            self.counts.duplicates += 1
        return news

    def _forget_oldest(self, topic: str, sequence: _Sequence) -> list[Gap]:
        """Forget the oldest gaps while there are too many."""
        news: list[Gap] = []
        while sequence.has_too_many_ranges():
            gap = sequence.gaps.pop(0)
            sequence.floor, before = gap.last + 1, gap.state
            gap.give_up(gap.first, gap.last, "more gaps than are remembered")
            news += self._changed(topic, gap, before)
        return news

    def _give_up_all(self, topic: str, sequences: list[_Sequence]) -> list[Gap]:
        """Mark all gaps as lost: a host with a new sequence has no events of the old one."""
        news: list[Gap] = []
        for gap in (gap for sequence in sequences for gap in sequence.gaps if gap.open):
            gap.give_up(gap.first, gap.last, "the host has started a new sequence")
            news += self._changed(topic, gap, "open")
        return news

    def _changed(self, topic: str, gap: _TrackedGap, before: State) -> list[Gap]:
        if gap.state == before:
            return []
        self.counts.gaps[before] -= 1
        self.counts.gaps[gap.state] += 1
        return [_report(topic, gap)]

    def _may_request(self, host: _HostRequest, now_s: float) -> bool:
        if host.id is not None:
            still_open = host.gap.count_open()
            if still_open < host.open:  # it is answering
                host.open, host.answer_by_s = still_open, now_s + host.timeout_s
            if now_s < host.answer_by_s:
                return False
            host.timeout_s = min(2 * host.timeout_s, MAX_ANSWER_TIMEOUT_S)
        return now_s >= host.next_request_s

    def _request(self, base: str, gaps: list[tuple[str, _TrackedGap]], now_s: float) -> CommandMessage:
        host = self._hosts[base]
        host.topic, host.gap = min(gaps, key=lambda topic_and_gap: topic_and_gap[1].requests)
        host.range, host.open = host.gap.open[0], host.gap.count_open()
        host.gap.requests += 1
        self._requests += 1
        host.id = f"{self._name}-{self._requests}"
        host.answer_by_s, host.next_request_s = now_s + host.timeout_s, now_s + REQUEST_INTERVAL_S
        camera, (first, last) = host.topic.rpartition("/")[2], host.range
        command = {"camera": camera, "from_seq": first, "to_seq": last, "id": host.id}
        return CommandMessage(f"{base}/cmd/replay", json.dumps(command).encode())


def _report(topic: str, gap: _TrackedGap) -> Gap:
    reason = gap.reason if gap.state == "lost" else ""
    missing = sum(last - first + 1 for first, last in gap.open + gap.lost)
    return Gap(topic, gap.first, gap.last, gap.state, missing, reason)


def _remove(ranges: _Ranges, seq: int) -> bool:
    """Remove a number from the ranges; return whether it was in one."""
    place = bisect_right(ranges, seq, key=lambda piece: piece[0]) - 1
    if place < 0 or seq > ranges[place][1]:
        return False
    first, last = ranges[place]
    ranges[place : place + 1] = [piece for piece in ((first, seq - 1), (seq + 1, last)) if piece[0] <= piece[1]]
    return True
