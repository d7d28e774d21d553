"""Which events of each camera a subscriber has heard, and which it has not.

A camera counts its events 1, 2, 3, ... over every restart of its host's daemon (`seq`), and an event keeps its number
when it is sent again. So a number heard before is a duplicate, and a number that was skipped is a gap, which the host
is asked to replay. A gap shows with the next event of its camera, not before.

An event's `id` names the boot of the daemon that published it, and boots follow each other: of one count, no two boots
share a stretch of numbers. A boot that nobody knows, with numbers that were heard from another one, means that the host
lost its outbox and counts anew. Each count then has books of its own, so that late events of the old one stay
duplicates. A count that begins anew above the highest number heard cannot be told from a gap.

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

BELOW_MOST = 100  # under `since`, whose boots nobody knows: so far an event was dealt with, further is a new count
BOOTS_MOST = 200  # remembered of a count; any number of events of these may be sent again
COUNTS_MOST = 4  # remembered of a camera
PIECES_MOST = 1000  # stretches of missing numbers that are remembered of a count

ANSWER_S, SILENCE_MOST_S = 10.0, 320.0  # wait for an answer before asking again: at first, and at most
PACE_S = 2 * RATE_WINDOW_S / MAX_COMMANDS  # between commands: half of what a host takes, the rest is others'
FRUITLESS_MOST = 3  # answers to one gap that bring nothing
REASON_MOST = 200  # characters of a host's own words
BUSY = "busy"  # begins the error of a host that is at other replays

State = Literal["open", "filled", "lost"]
_Pieces = list[tuple[int, int]]  # first and last number, both included; ascending


@dataclass(frozen=True)
class Gap:
    """Events that were published and not heard. Told when it opens, when all of it has come, and when its host cannot
    replay the rest; should that come all the same, it is filled after all."""

    topic: str  # of the camera: <base>/<camera>
    from_seq: int
    to_seq: int
    state: State
    missing: int  # events of it that have not come
    reason: str = ""  # why it is lost


@dataclass(frozen=True)
class Recount:
    """The host counts anew, because its outbox was deleted: what was lost with it, nobody knows."""

    topic: str  # of the camera: <base>/<camera>
    seq: int  # first heard of the new count
    highest_seq: int  # heard of the old one


@dataclass
class Tally:
    """What has happened so far."""

    received: int = 0  # events told, replayed ones too
    duplicates: int = 0
    too_old: int = 0  # not told, because heard or not is not known: before the first event, or of a forgotten gap
    recounts: int = 0
    gaps: Counter[State] = field(default_factory=Counter)  # of all gaps, how many are so now


@dataclass(frozen=True)
class Ask:
    """A replay to be asked for."""

    topic: str
    payload: bytes  # JSON


class _Hole:
    """A gap that is remembered."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.open: _Pieces = [(first, last)]
        self.lost: _Pieces = []
        self.reason = ""
        self.asked = 0  # times
        self.fruitless = 0  # answers since something came

    @property
    def state(self) -> State:
        return "open" if self.open else "lost" if self.lost else "filled"

    def left(self, first: int = 0, last: int | None = None) -> int:
        """How many are waited for, of those from `first` to `last`."""
        return sum(b - a + 1 for a, b in self.open if first <= a and (last is None or b <= last))

    def take(self, seq: int) -> bool:
        """Whether it was missing; now it is not."""
        taken = _remove(self.open, seq) or _remove(self.lost, seq)
        if taken:
            self.fruitless = 0
        return taken

    def give_up(self, first: int, last: int, reason: str) -> None:
        """What is open from `first` to `last` is not waited for any more; no open piece reaches over these."""
        gone = [piece for piece in self.open if first <= piece[0] <= last]
        self.open = [piece for piece in self.open if not first <= piece[0] <= last]
        self.lost = sorted(self.lost + gone)
        self.reason = reason if gone else self.reason


class _Count:
    """One unbroken count of a camera's events, of which `highest` was the last one heard."""

    def __init__(self, highest: int) -> None:
        self.highest = highest
        self.floor = highest + 1  # of lower numbers nothing is known
        self.boots: dict[str, tuple[int, int]] = {}  # lowest and highest number heard
        self.holes: list[_Hole] = []  # ascending

    def fits(self, boot: str, seq: int) -> bool:
        """Whether this number can be that boot's."""
        if boot in self.boots or seq > self.highest:
            return True
        if not self.boots:  # the number came from the user
            return self.highest - seq < BELOW_MOST
        return self.hole(seq) is not None and not any(low <= seq <= high for low, high in self.boots.values())

    def heard_from(self, boot: str, seq: int) -> None:
        low, high = self.boots.get(boot, (seq, seq))
        self.boots[boot] = min(low, seq), max(high, seq)
        if len(self.boots) > BOOTS_MOST:
            del self.boots[min(self.boots, key=lambda known: self.boots[known][1])]

    def hole(self, seq: int) -> _Hole | None:
        """The gap in which this number lies, missing or not."""
        place = bisect_right(self.holes, seq, key=lambda hole: hole.first) - 1
        return self.holes[place] if place >= 0 and seq <= self.holes[place].last else None

    def is_crowded(self) -> bool:
        return sum(len(hole.open) + len(hole.lost) for hole in self.holes) > PIECES_MOST


class _Host:
    """What is being asked of one host."""

    def __init__(self) -> None:
        self.id: str | None = None  # of the command that has no answer yet
        self.topic = ""  # of the camera
        self.hole = _Hole(0, 0)
        self.piece = (0, 0)  # of it
        self.left = 0  # numbers that were missing of the gap when last looked
        self.patience_s = ANSWER_S
        self.until_s = 0.0  # that long an answer may take
        self.not_before_s = float("-inf")  # the next command


class Ledger:
    """The books of all cameras; a camera goes by its topic, <base>/<camera>.

    `name`: begins the ids of the commands, and is nobody else's. `since`: the last `seq` that was dealt with earlier;
    what has come after it is a gap. Without, a camera's first event is where its books begin.
    """

    def __init__(self, name: str, since: Mapping[str, int] | None = None) -> None:
        self.tally = Tally()
        self._name = name
        self._cameras = {
            topic: [_Count(seq)] for topic, seq in (since or {}).items()
        }  # counts, the one that grew last comes last
        self._hosts: dict[str, _Host] = {}  # by <base>
        self._asks = 0

    def take(self, topic: str, event: ActionEvent) -> list[ActionEvent | Gap | Recount]:
        """What an event tells: nothing if it is a duplicate, else itself, and what it says about gaps."""
        boot, seq = event.id.rpartition("/")[0], event.seq
        counts = self._cameras.setdefault(topic, [])
        count = next((count for count in counts if boot in count.boots), counts[-1] if counts else None)
        told: list[ActionEvent | Gap | Recount] = []
        if count is None or not count.fits(boot, seq):
            if event.replayed:  # for somebody else
                self.tally.too_old += 1
                return []
            if count:
                told += [*self._give_up(topic, counts), Recount(topic, seq, count.highest)]
                self.tally.recounts += 1
            count = _Count(seq - 1)
            counts.append(count)
            del counts[:-COUNTS_MOST]
        elif seq > count.highest:
            counts.sort(key=lambda known: known is count)
        count.heard_from(boot, seq)
        return told + self._enter(topic, count, event)

    def due(self, now_s: float) -> list[Ask]:
        """Commands to be sent now: of each host one at a time, first for the gaps that were least often asked for."""
        holes: dict[str, list[tuple[str, _Hole]]] = {}
        for topic, counts in self._cameras.items():
            missed = [(topic, hole) for hole in counts[-1].holes if hole.open] if counts else []
            holes.setdefault(topic.rpartition("/")[0], []).extend(missed)
        return [
            self._ask(base, missed, now_s)
            for base, missed in holes.items()
            if missed and self._may_ask(self._hosts.setdefault(base, _Host()), now_s)
        ]

    def answered(self, base: str, reply: Reply) -> list[Gap]:
        """What a host's answer tells about the gap that it was asked for; nothing if somebody else asked."""
        host = self._hosts.get(base)
        if host is None or host.id is None or reply.id != host.id:
            return []
        if not reply.ok and reply.error.startswith(BUSY):  # as if it had said nothing: asked again, ever later
            return []
        host.id, host.patience_s = None, ANSWER_S
        hole, was = host.hole, host.hole.state
        missing = reply.result.get("missing")
        if not reply.ok:
            said = "".join(c for c in reply.error[:REASON_MOST] if c.isprintable())
            hole.give_up(hole.first, hole.last, said or "the host refuses")
        elif isinstance(missing, int) and hole.left(*host.piece) <= missing:
            hole.give_up(*host.piece, "the host has it no more")
        else:  # the answer may have been faster than the events
            hole.fruitless += 1
            if hole.fruitless == FRUITLESS_MOST:
                hole.fruitless = 0
                hole.give_up(*host.piece, "sent again, and it did not arrive")
        return self._changed(host.topic, hole, was)

    def reconnected(self) -> None:
        """Answers that were under way may be lost: what is open is asked for again."""
        for host in self._hosts.values():
            host.id, host.patience_s = None, ANSWER_S

    def complete(self) -> dict[str, int]:
        """Of each camera the `seq` up to which nothing is waited for: `since` of the next run."""
        return {
            topic: min([counts[-1].highest, *(hole.open[0][0] - 1 for hole in counts[-1].holes if hole.open)])
            for topic, counts in self._cameras.items()
            if counts
        }

    def _enter(self, topic: str, count: _Count, event: ActionEvent) -> list[ActionEvent | Gap | Recount]:
        seq, told = event.seq, list[ActionEvent | Gap | Recount]()
        if seq > count.highest:
            if seq > count.highest + 1:
                hole = _Hole(count.highest + 1, seq - 1)
                count.holes.append(hole)
                self.tally.gaps["open"] += 1
                told += [*self._forget(topic, count), _gap(topic, hole)]
            count.highest = seq
            told.append(event)
            self.tally.received += 1
            return told
        found = count.hole(seq)
        was = found.state if found else "filled"
        if found and found.take(seq):
            told += [event, *self._changed(topic, found, was)]
            self.tally.received += 1
            if found.state == "filled":
                count.holes.remove(found)
            told += self._forget(topic, count)
        elif seq < count.floor:
            self.tally.too_old += 1
        else:
            self.tally.duplicates += 1
        return told

    def _forget(self, topic: str, count: _Count) -> list[Gap]:
        """The oldest gaps, where there are too many."""
        told: list[Gap] = []
        while count.is_crowded():
            hole = count.holes.pop(0)
            count.floor, was = hole.last + 1, hole.state
            hole.give_up(hole.first, hole.last, "more gaps than are remembered")
            told += self._changed(topic, hole, was)
        return told

    def _give_up(self, topic: str, counts: list[_Count]) -> list[Gap]:
        """A host that counts anew has the events of the old count no more."""
        told: list[Gap] = []
        for hole in (hole for count in counts for hole in count.holes if hole.open):
            hole.give_up(hole.first, hole.last, "the host counts anew")
            told += self._changed(topic, hole, "open")
        return told

    def _changed(self, topic: str, hole: _Hole, was: State) -> list[Gap]:
        if hole.state == was:
            return []
        self.tally.gaps[was] -= 1
        self.tally.gaps[hole.state] += 1
        return [_gap(topic, hole)]

    def _may_ask(self, host: _Host, now_s: float) -> bool:
        if host.id is not None:
            left = host.hole.left()
            if left < host.left:  # it is answering
                host.left, host.until_s = left, now_s + host.patience_s
            if now_s < host.until_s:
                return False
            host.patience_s = min(2 * host.patience_s, SILENCE_MOST_S)
        return now_s >= host.not_before_s

    def _ask(self, base: str, missed: list[tuple[str, _Hole]], now_s: float) -> Ask:
        host = self._hosts[base]
        host.topic, host.hole = min(missed, key=lambda topic_and_hole: topic_and_hole[1].asked)
        host.piece, host.left = host.hole.open[0], host.hole.left()
        host.hole.asked += 1
        self._asks += 1
        host.id = f"{self._name}-{self._asks}"
        host.until_s, host.not_before_s = now_s + host.patience_s, now_s + PACE_S
        camera, (first, last) = host.topic.rpartition("/")[2], host.piece
        command = {"camera": camera, "from_seq": first, "to_seq": last, "id": host.id}
        return Ask(f"{base}/cmd/replay", json.dumps(command).encode())


def _gap(topic: str, hole: _Hole) -> Gap:
    reason = hole.reason if hole.state == "lost" else ""
    missing = sum(last - first + 1 for first, last in hole.open + hole.lost)
    return Gap(topic, hole.first, hole.last, hole.state, missing, reason)


def _remove(pieces: _Pieces, seq: int) -> bool:
    """Takes a number out, if it is in."""
    place = bisect_right(pieces, seq, key=lambda piece: piece[0]) - 1
    if place < 0 or seq > pieces[place][1]:
        return False
    first, last = pieces[place]
    pieces[place : place + 1] = [piece for piece in ((first, seq - 1), (seq + 1, last)) if piece[0] <= piece[1]]
    return True
