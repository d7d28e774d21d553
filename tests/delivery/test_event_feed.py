"""Tests of the order in which events are sent, without a broker."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.event_feed import EventFeed
from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT, InFlight
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.timing import PublisherTiming

TIMING = PublisherTiming(min_retry_s=1, max_retry_s=4, store_s=0.2)


class FeedHarness:
    """A feed with an outbox in memory, a clock that stands still, and the test in place of the broker."""

    def __init__(self, window: int = MAX_IN_FLIGHT) -> None:
        self.now_s = 100.0
        self.outbox = Outbox(None, OutboxConfig(), lambda: self.now_s)
        self.in_flight = InFlight()
        self.feed = EventFeed(self.outbox, self.in_flight, TIMING, lambda: self.now_s)
        self.seqs: dict[str, int] = {}
        self._packet_id = 1000
        self.connect(window)

    def put(self, *cameras: str) -> None:
        for camera in cameras:
            self.seqs[camera] = self.seqs.get(camera, 0) + 1
            self.outbox.put([(camera, self.seqs[camera], b"{}")])

    def connect(self, window: int = MAX_IN_FLIGHT) -> None:
        self.in_flight.open(window)
        self.feed.connected()

    def disconnect(self) -> None:
        self.feed.disconnected()
        self.in_flight.close()

    def send(self) -> list[str]:
        """Send what the feed yields; return it as camera and seq."""
        sent = []
        for entry in self.feed.next():
            self._packet_id += 1
            self.in_flight.add(self._packet_id, entry)
            sent.append(name(entry))
        return sent

    def answer(self, event: str, rejection: str = "") -> None:
        """Acknowledge or reject an event in flight."""
        packet_id = next(id_ for id_, entry in self.in_flight._sent.items() if name(entry) == event)
        entry = self.in_flight.remove(packet_id)
        assert isinstance(entry, Entry)
        if rejection:
            self.feed.rejected(entry, rejection)
        else:
            self.feed.acknowledged(entry)


def name(entry: object) -> str:
    assert isinstance(entry, Entry)
    return f"{entry.camera}{entry.seq}"


@pytest.fixture
def harness() -> Iterator[FeedHarness]:
    harness = FeedHarness()
    yield harness
    harness.outbox.close()


def test_events_are_sent_once_in_order(harness: FeedHarness) -> None:
    harness.put("a", "b", "a")
    assert harness.send() == ["a1", "b1", "a2"]
    assert harness.send() == []
    harness.put("b")
    assert harness.send() == ["b2"]


def test_no_more_is_sent_than_the_window_allows(harness: FeedHarness) -> None:
    harness.connect(window=2)
    harness.put("a", "a", "a", "a")
    assert harness.send() == ["a1", "a2"]
    harness.answer("a1")
    assert harness.send() == ["a3"]
    assert harness.feed.has_more
    harness.answer("a2")
    harness.answer("a3")
    assert harness.send() == ["a4"]
    assert not harness.feed.has_more


def test_unacknowledged_events_are_sent_again_on_the_next_connection(harness: FeedHarness) -> None:
    harness.put("a", "a", "a")
    harness.send()
    harness.answer("a2")
    harness.disconnect()
    harness.connect()
    assert harness.send() == ["a1", "a3"], "a2 is acknowledged, although the outbox does not know it yet"


def test_acknowledgements_are_stored_together(harness: FeedHarness) -> None:
    """Each write costs a flush of the disk; when nothing else is to do, they are stored at once."""
    harness.put(*["a"] * MAX_IN_FLIGHT)
    harness.send()
    harness.answer("a1")
    harness.feed.store_acknowledged(more_to_come=True)
    harness.answer("a2")
    harness.feed.store_acknowledged(more_to_come=True)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 1, "the second one waits"
    assert harness.feed.due_s() == harness.now_s + TIMING.store_s
    harness.now_s += TIMING.store_s
    harness.feed.store_acknowledged(more_to_come=True)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 2
    harness.answer("a3")
    harness.feed.store_acknowledged(more_to_come=False)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 3
    for number in range(4, 4 + MAX_IN_FLIGHT // 2):
        harness.answer(f"a{number}")
    harness.feed.store_acknowledged(more_to_come=True)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 3 - MAX_IN_FLIGHT // 2


def test_a_rejected_camera_waits_and_the_others_are_sent(harness: FeedHarness) -> None:
    harness.put("a", "b", "a")
    harness.send()
    harness.answer("a1", "Not authorized")
    harness.answer("b1")
    harness.answer("a2", "Not authorized")
    harness.put("a", "b")
    assert harness.send() == ["b2"]
    assert harness.feed.rejections == {"a": "Not authorized"}
    assert not harness.feed.has_more


def test_a_rejected_camera_is_probed_with_its_first_event_after_doubling_waits(harness: FeedHarness) -> None:
    harness.put("a", "a")
    harness.send()
    harness.answer("a1", "no")
    harness.answer("a2", "no")
    for wait_s in (1, 2, 4, 4):
        assert harness.feed.due_s() == harness.now_s + wait_s
        harness.now_s += wait_s - 0.1
        assert harness.send() == []
        harness.now_s += 0.1
        assert harness.send() == ["a1"]
        assert harness.send() == []
        assert harness.feed.due_s() == float("inf")
        harness.answer("a1", "no")


def test_a_camera_is_probed_when_all_its_earlier_events_are_answered(harness: FeedHarness) -> None:
    """The late answer to an earlier event would be taken for the probe's, and the probe be sent a second time."""
    harness.put("a", "a")
    harness.send()
    harness.answer("a1", "no")
    harness.now_s += TIMING.min_retry_s
    assert harness.send() == []
    assert harness.feed.due_s() == float("inf"), "or the publisher's thread would not sleep"
    harness.answer("a2", "no")
    assert harness.send() == ["a1"]


def test_a_successful_probe_releases_all_events_of_the_camera(harness: FeedHarness) -> None:
    harness.put("a", "b", "a", "a")
    harness.send()
    harness.answer("b1")
    for event in ("a1", "a2", "a3"):
        harness.answer(event, "no")
    harness.now_s += 1
    assert harness.send() == ["a1"]
    packet_id, entry = next(iter(harness.in_flight._sent.items()))
    assert isinstance(entry, Entry)
    harness.in_flight.remove(packet_id)
    assert harness.feed.acknowledged(entry), "the access rules have changed"
    assert harness.feed.rejections == {}
    assert harness.send() == ["a2", "a3"]


def test_without_room_no_probe_is_due(harness: FeedHarness) -> None:
    """Or the publisher's thread would not sleep until there is."""
    harness.connect(window=2)
    harness.put("a", "b", "b", "b")
    harness.send()
    harness.answer("a1", "no")
    harness.send()
    assert harness.in_flight.room == 0
    assert harness.feed.due_s() == float("inf")
    harness.now_s += 1
    assert harness.send() == []
    harness.answer("b1")
    assert harness.send() == ["a1"]


def test_a_rejected_camera_without_events_is_forgotten(harness: FeedHarness) -> None:
    """Its events were dropped: without this its probe would be due for ever."""
    harness.put("a")
    harness.send()
    harness.answer("a1", "no")
    harness.now_s += 365 * 86_400
    harness.outbox.tick()
    assert harness.outbox.waiting == 0
    assert harness.send() == []
    assert harness.feed.rejections == {}
    assert harness.feed.due_s() == float("inf")


def test_an_event_that_is_rejected_before_it_is_sent_takes_no_room(harness: FeedHarness) -> None:
    """One that is too large for the broker: its camera's next events are not sent either."""
    harness.connect(window=3)
    harness.put("a", "a", "b", "b", "b")
    sent = []
    for entry in harness.feed.next():
        if entry.camera == "a":
            harness.feed.rejected(entry, "too large")
        else:
            harness.in_flight.add(entry.number, entry)
            sent.append(name(entry))
    assert sent == ["b1"]
    assert harness.send() == ["b2", "b3"]


def test_events_come_one_at_a_time_after_a_connection_that_acknowledged_none(harness: FeedHarness) -> None:
    harness.put("a", "b", "a")
    assert harness.send() == ["a1", "b1", "a2"]
    harness.disconnect()
    assert harness.feed.rejections == {}, "it may have ended over anything"
    harness.connect()
    assert harness.send() == ["a1"]
    assert harness.send() == []
    harness.answer("a1")
    assert harness.send() == ["b1", "a2"], "the broker takes events"


def test_the_camera_over_which_the_broker_ends_the_connection_is_found(harness: FeedHarness) -> None:
    harness.put("a", "b", "b")
    harness.send()
    harness.disconnect()
    harness.connect()
    assert harness.send() == ["a1"]
    harness.disconnect()
    assert harness.feed.rejections == {"a": "the connection ended over it"}
    harness.connect()
    assert harness.send() == ["b1"], "still one at a time"
    harness.answer("b1")
    assert harness.send() == ["b2"]
    harness.answer("b2")
    harness.now_s += 1
    assert harness.send() == ["a1"], "a probe"
    harness.disconnect()
    harness.connect()
    assert harness.feed.due_s() == harness.now_s + 2, "the others come first"


def test_probes_that_a_lost_connection_left_unanswered_are_sent_again(harness: FeedHarness) -> None:
    """Two cameras over which the broker ends the connection are probed together; neither is forgotten."""
    harness.put("a", "b")
    harness.send()
    for entry in harness.in_flight.events:
        harness.feed.rejected(entry, "the connection ended over it", ends_connection=True)
    harness.in_flight.close()
    harness.connect()
    harness.now_s += TIMING.min_retry_s
    assert harness.send() == ["a1", "b1"]
    harness.disconnect()
    harness.connect()
    harness.now_s += TIMING.max_retry_s
    assert sorted(harness.send()) == ["a1", "b1"]
    harness.answer("a1")
    harness.answer("b1")
    assert harness.feed.rejections == {}


def test_a_connection_that_ends_over_nothing_rejects_no_camera(harness: FeedHarness) -> None:
    """Events were acknowledged on it: the network is at fault."""
    for _ in range(3):
        harness.put("a", "a")
        harness.send()
        harness.answer(f"a{harness.seqs['a'] - 1}")
        harness.disconnect()
        assert harness.feed.rejections == {}
        harness.connect()


def test_a_new_connection_forgets_ordinary_rejections(harness: FeedHarness) -> None:
    """The broker was restarted, perhaps with other access rules."""
    harness.put("a", "a")
    harness.send()
    harness.answer("a1", "no")
    harness.answer("a2", "no")
    harness.disconnect()
    harness.connect()
    assert harness.feed.rejections == {}
    assert harness.send()[:1] == ["a1"]


@given(st.lists(st.sampled_from(["put", "send", "answer", "reconnect"]), max_size=60), st.integers(1, 5))
def test_lost_connections_change_no_order(steps: list[str], window: int) -> None:
    """Each event is acknowledged once; until then it is sent again."""
    harness, delivered = FeedHarness(window), list[str]()
    for step in [*steps, "reconnect", *["send", "answer"] * (2 * len(steps))]:
        match step:
            case "put":
                harness.put("ab"[len(delivered) % 2])
            case "send":
                harness.send()
            case "answer":
                for entry in harness.in_flight.events[:1]:
                    delivered.append(name(entry))
                    harness.answer(name(entry))
            case _:
                harness.disconnect()
                harness.connect(window)
                harness.now_s += TIMING.max_retry_s  # probes are due
    harness.feed.store_acknowledged(more_to_come=False)
    assert harness.outbox.waiting == 0
    for camera, last in harness.seqs.items():
        assert [event for event in delivered if event[0] == camera] == [f"{camera}{n + 1}" for n in range(last)]
    harness.outbox.close()


class BrokerWithRules(RuleBasedStateMachine):
    """A broker that rejects cameras, or ends the connection over them, and changes its mind at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = FeedHarness()
        self.window = MAX_IN_FLIGHT
        self.rejects: set[str] = set()
        self.ends_over: set[str] = set()
        self.delivered: set[str] = set()
        self.connected = True

    cameras = st.sampled_from("abc")

    @rule(cameras=st.lists(cameras, min_size=1, max_size=5))
    def put(self, cameras: list[str]) -> None:
        self.harness.put(*cameras)

    @rule(camera=cameras)
    def change_rejections(self, camera: str) -> None:
        self.rejects ^= {camera}

    @rule(camera=cameras)
    def change_endings(self, camera: str) -> None:
        self.ends_over ^= {camera}

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.harness.now_s += seconds

    @rule(more_to_come=st.booleans())
    def store(self, more_to_come: bool) -> None:
        self.harness.feed.store_acknowledged(more_to_come)

    @precondition(lambda self: self.connected)
    @rule()
    def send(self) -> None:
        rejected = set(self.harness.feed.rejections)
        for event in self.harness.send():
            camera = event[0]
            if camera in rejected:
                first = self.harness.outbox.first(camera)
                assert first
                assert event == name(first)

    @precondition(lambda self: self.connected)
    @rule()
    def answer(self) -> None:
        """Handle the oldest event in flight."""
        for entry in self.harness.in_flight.events[:1]:
            if entry.camera in self.ends_over:
                self.lose()
            elif entry.camera in self.rejects:
                self.harness.answer(name(entry), "no")
            else:
                self.delivered.add(name(entry))
                self.harness.answer(name(entry))

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.harness.disconnect()
        self.connected = False

    @precondition(lambda self: not self.connected)
    @rule(window=st.sampled_from([1, 2, MAX_IN_FLIGHT]))
    def connect(self, window: int) -> None:
        self.harness.connect(window)
        self.window, self.connected = window, True

    @invariant()
    def the_window_is_kept(self) -> None:
        sent = self.harness.in_flight.events
        assert len(sent) <= self.window
        assert len(set(sent)) == len(sent), "nothing is in flight twice"

    def teardown(self) -> None:
        """When the broker takes everything, everything arrives."""
        self.rejects, self.ends_over = set(), set()
        events = {f"{camera}{n + 1}" for camera, last in self.harness.seqs.items() for n in range(last)}
        if not self.connected:
            self.connect(MAX_IN_FLIGHT)
        for _ in range(10 + 3 * len(events)):
            self.harness.send()
            self.answer()
            if not self.harness.in_flight.events:
                self.harness.now_s += TIMING.max_retry_s
        self.harness.feed.store_acknowledged(more_to_come=False)
        assert self.delivered == events
        assert self.harness.outbox.waiting == 0
        assert self.harness.feed.rejections == {}
        self.harness.outbox.close()


TestBrokerWithRules = BrokerWithRules.TestCase
