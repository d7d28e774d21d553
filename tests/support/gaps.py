"""A reader that knows only what a GapTracker reports, and checks that it is consistent."""

import json

from edge_tdn.messages import ActionEvent
from edge_tdn.subscriber import Gap, Recount
from edge_tdn.subscriber.gaps import GapTracker
from tests.support.subscriber import make_event

BASE = "edge-tdn/here"
DOOR = f"{BASE}/door"


class GapReader:
    """Hands events to a tracker and keeps account of what it reports."""

    def __init__(self, tracker: GapTracker) -> None:
        self.tracker = tracker
        self.received: set[tuple[str, str, int]] = set()  # topic, id, seq
        self.missing: set[tuple[str, int]] = set()  # topic, seq: reported as missing, and not received
        self.gaps: dict[tuple[str, int], Gap] = {}  # the last report on each, by topic and first seq
        self.recounts: list[Recount] = []

    def receive(self, event: ActionEvent, topic: str = DOOR) -> None:
        for news in self.tracker.receive(topic, event):
            match news:
                case ActionEvent():
                    assert news is event
                    assert (topic, news.id, news.seq) not in self.received, "reported twice"
                    self.received.add((topic, news.id, news.seq))
                    self.missing.discard((topic, news.seq))
                case Gap():
                    self.note(news)
                case Recount():
                    self.recounts.append(news)

    def note(self, gap: Gap) -> None:
        """Check a report against what is missing."""
        inside = {(gap.topic, seq) for seq in range(gap.from_seq, gap.to_seq + 1)}
        if gap.state == "open":
            assert (gap.topic, gap.from_seq) not in self.gaps
            self.missing |= inside
        assert gap.missing == len(inside & self.missing)
        assert (gap.missing == 0) == (gap.state == "filled")
        assert bool(gap.reason) == (gap.state == "lost")
        self.gaps[gap.topic, gap.from_seq] = gap

    def seqs(self, topic: str = DOOR) -> set[int]:
        """Return the seqs that were received on a topic."""
        return {seq for of, _, seq in self.received if of == topic}

    def check_counts(self, events: int) -> None:
        """Check the tracker's counts after `events` calls of `receive`."""
        counts = self.tracker.counts
        assert counts.received == len(self.received)
        assert counts.received + counts.duplicates + counts.too_old == events
        assert counts.recounts == len(self.recounts)
        states = [gap.state for gap in self.gaps.values()]
        assert {state: states.count(state) for state in ("open", "filled", "lost")} == {
            state: counts.gaps[state] for state in ("open", "filled", "lost")
        }


def next_request(tracker: GapTracker, now_s: float) -> tuple[str, str, int, int]:
    """Return camera, id, first and last number of the only command that is due."""
    (request,) = tracker.due_requests(now_s)
    command = json.loads(request.payload)
    return command["camera"], command["id"], command["from_seq"], command["to_seq"]


def reader_with_gap(*inside: int) -> tuple[GapReader, str]:
    """Return a reader that has 1, 10 and the numbers `inside`, and the id of the command that requests the others."""
    reader = GapReader(GapTracker("me"))
    for seq in (1, 10, *inside):
        reader.receive(make_event(seq))
    return reader, next_request(reader.tracker, 0)[1]
