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


class Bench:
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
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.outbox.close()


def test_events_are_sent_once_in_order(bench: Bench) -> None:
    bench.put("a", "b", "a")
    assert bench.send() == ["a1", "b1", "a2"]
    assert bench.send() == []
    bench.put("b")
    assert bench.send() == ["b2"]


def test_no_more_is_sent_than_the_window_allows(bench: Bench) -> None:
    bench.connect(window=2)
    bench.put("a", "a", "a", "a")
    assert bench.send() == ["a1", "a2"]
    bench.answer("a1")
    assert bench.send() == ["a3"]
    assert bench.feed.has_more
    bench.answer("a2")
    bench.answer("a3")
    assert bench.send() == ["a4"]
    assert not bench.feed.has_more


def test_unacknowledged_events_are_sent_again_on_the_next_connection(bench: Bench) -> None:
    bench.put("a", "a", "a")
    bench.send()
    bench.answer("a2")
    bench.disconnect()
    bench.connect()
    assert bench.send() == ["a1", "a3"], "a2 is acknowledged, although the outbox does not know it yet"


def test_acknowledgements_are_stored_together(bench: Bench) -> None:
    """Each write costs a flush of the disk; when nothing else is to do, they are stored at once."""
    bench.put(*["a"] * MAX_IN_FLIGHT)
    bench.send()
    bench.answer("a1")
    bench.feed.store_acknowledged(more_to_come=True)
    bench.answer("a2")
    bench.feed.store_acknowledged(more_to_come=True)
    assert bench.outbox.waiting == MAX_IN_FLIGHT - 1, "the second one waits"
    assert bench.feed.due_s() == bench.now_s + TIMING.store_s
    bench.now_s += TIMING.store_s
    bench.feed.store_acknowledged(more_to_come=True)
    assert bench.outbox.waiting == MAX_IN_FLIGHT - 2
    bench.answer("a3")
    bench.feed.store_acknowledged(more_to_come=False)
    assert bench.outbox.waiting == MAX_IN_FLIGHT - 3
    for number in range(4, 4 + MAX_IN_FLIGHT // 2):
        bench.answer(f"a{number}")
    bench.feed.store_acknowledged(more_to_come=True)
    assert bench.outbox.waiting == MAX_IN_FLIGHT - 3 - MAX_IN_FLIGHT // 2


def test_a_rejected_camera_waits_and_the_others_are_sent(bench: Bench) -> None:
    bench.put("a", "b", "a")
    bench.send()
    bench.answer("a1", "Not authorized")
    bench.answer("b1")
    bench.answer("a2", "Not authorized")
    bench.put("a", "b")
    assert bench.send() == ["b2"]
    assert bench.feed.rejections == {"a": "Not authorized"}
    assert not bench.feed.has_more


def test_a_rejected_camera_is_probed_with_its_first_event_after_doubling_waits(bench: Bench) -> None:
    bench.put("a", "a")
    bench.send()
    bench.answer("a1", "no")
    bench.answer("a2", "no")
    for wait_s in (1, 2, 4, 4):
        assert bench.feed.due_s() == bench.now_s + wait_s
        bench.now_s += wait_s - 0.1
        assert bench.send() == []
        bench.now_s += 0.1
        assert bench.send() == ["a1"]
        assert bench.send() == []
        assert bench.feed.due_s() == float("inf")
        bench.answer("a1", "no")


def test_a_successful_probe_releases_all_events_of_the_camera(bench: Bench) -> None:
    bench.put("a", "b", "a", "a")
    bench.send()
    bench.answer("b1")
    for event in ("a1", "a2", "a3"):
        bench.answer(event, "no")
    bench.now_s += 1
    assert bench.send() == ["a1"]
    packet_id, entry = next(iter(bench.in_flight._sent.items()))
    assert isinstance(entry, Entry)
    bench.in_flight.remove(packet_id)
    assert bench.feed.acknowledged(entry), "the access rules have changed"
    assert bench.feed.rejections == {}
    assert bench.send() == ["a2", "a3"]


def test_without_room_no_probe_is_due(bench: Bench) -> None:
    """Or the publisher's thread would not sleep until there is."""
    bench.connect(window=2)
    bench.put("a", "b", "b", "b")
    bench.send()
    bench.answer("a1", "no")
    bench.send()
    assert bench.in_flight.room == 0
    assert bench.feed.due_s() == float("inf")
    bench.now_s += 1
    assert bench.send() == []
    bench.answer("b1")
    assert bench.send() == ["a1"]


def test_a_rejected_camera_without_events_is_forgotten(bench: Bench) -> None:
    """Its events were dropped: without this its probe would be due for ever."""
    bench.put("a")
    bench.send()
    bench.answer("a1", "no")
    bench.now_s += 365 * 86_400
    bench.outbox.tick()
    assert bench.outbox.waiting == 0
    assert bench.send() == []
    assert bench.feed.rejections == {}
    assert bench.feed.due_s() == float("inf")


def test_an_event_that_is_rejected_before_it_is_sent_takes_no_room(bench: Bench) -> None:
    """One that is too large for the broker: its camera's next events are not sent either."""
    bench.connect(window=3)
    bench.put("a", "a", "b", "b", "b")
    sent = []
    for entry in bench.feed.next():
        if entry.camera == "a":
            bench.feed.rejected(entry, "too large")
        else:
            bench.in_flight.add(entry.number, entry)
            sent.append(name(entry))
    assert sent == ["b1"]
    assert bench.send() == ["b2", "b3"]


def test_events_come_one_at_a_time_after_a_connection_that_acknowledged_none(bench: Bench) -> None:
    bench.put("a", "b", "a")
    assert bench.send() == ["a1", "b1", "a2"]
    bench.disconnect()
    assert bench.feed.rejections == {}, "it may have ended over anything"
    bench.connect()
    assert bench.send() == ["a1"]
    assert bench.send() == []
    bench.answer("a1")
    assert bench.send() == ["b1", "a2"], "the broker takes events"


def test_the_camera_over_which_the_broker_ends_the_connection_is_found(bench: Bench) -> None:
    bench.put("a", "b", "b")
    bench.send()
    bench.disconnect()
    bench.connect()
    assert bench.send() == ["a1"]
    bench.disconnect()
    assert bench.feed.rejections == {"a": "the connection ended over it"}
    bench.connect()
    assert bench.send() == ["b1"], "still one at a time"
    bench.answer("b1")
    assert bench.send() == ["b2"]
    bench.answer("b2")
    bench.now_s += 1
    assert bench.send() == ["a1"], "a probe"
    bench.disconnect()
    bench.connect()
    assert bench.feed.due_s() == bench.now_s + 2, "the others come first"


def test_a_connection_that_ends_over_nothing_rejects_no_camera(bench: Bench) -> None:
    """Events were acknowledged on it: the network is at fault."""
    for _ in range(3):
        bench.put("a", "a")
        bench.send()
        bench.answer(f"a{bench.seqs['a'] - 1}")
        bench.disconnect()
        assert bench.feed.rejections == {}
        bench.connect()


def test_a_new_connection_forgets_ordinary_rejections(bench: Bench) -> None:
    """The broker was restarted, perhaps with other access rules."""
    bench.put("a", "a")
    bench.send()
    bench.answer("a1", "no")
    bench.answer("a2", "no")
    bench.disconnect()
    bench.connect()
    assert bench.feed.rejections == {}
    assert bench.send()[:1] == ["a1"]


@given(st.lists(st.sampled_from(["put", "send", "answer", "reconnect"]), max_size=60), st.integers(1, 5))
def test_lost_connections_change_no_order(steps: list[str], window: int) -> None:
    """Each event is acknowledged once; until then it is sent again."""
    bench, delivered = Bench(window), list[str]()
    for step in [*steps, "reconnect", *["send", "answer"] * (2 * len(steps))]:
        match step:
            case "put":
                bench.put("ab"[len(delivered) % 2])
            case "send":
                bench.send()
            case "answer":
                for entry in bench.in_flight.events[:1]:
                    delivered.append(name(entry))
                    bench.answer(name(entry))
            case _:
                bench.disconnect()
                bench.feed._one_at_a_time = False  # no camera is suspected
                bench.connect(window)
    bench.feed.store_acknowledged(more_to_come=False)
    assert bench.outbox.waiting == 0
    for camera, last in bench.seqs.items():
        assert [event for event in delivered if event[0] == camera] == [f"{camera}{n + 1}" for n in range(last)]
    bench.outbox.close()


class BrokerWithRules(RuleBasedStateMachine):
    """A broker that rejects cameras, or ends the connection over them, and changes its mind at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.window = MAX_IN_FLIGHT
        self.rejects: set[str] = set()
        self.ends_over: set[str] = set()
        self.delivered: set[str] = set()
        self.connected = True

    cameras = st.sampled_from("abc")

    @rule(cameras=st.lists(cameras, min_size=1, max_size=5))
    def put(self, cameras: list[str]) -> None:
        self.bench.put(*cameras)

    @rule(camera=cameras)
    def change_rejections(self, camera: str) -> None:
        self.rejects ^= {camera}

    @rule(camera=cameras)
    def change_endings(self, camera: str) -> None:
        self.ends_over ^= {camera}

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.bench.now_s += seconds

    @rule(more_to_come=st.booleans())
    def store(self, more_to_come: bool) -> None:
        self.bench.feed.store_acknowledged(more_to_come)

    @precondition(lambda self: self.connected)
    @rule()
    def send(self) -> None:
        rejected = set(self.bench.feed.rejections)
        for event in self.bench.send():
            camera = event[0]
            if camera in rejected:
                first = self.bench.outbox.first(camera)
                assert first
                assert event == name(first)

    @precondition(lambda self: self.connected)
    @rule()
    def answer(self) -> None:
        """Handle the oldest event in flight."""
        for entry in self.bench.in_flight.events[:1]:
            if entry.camera in self.ends_over:
                self.lose()
            elif entry.camera in self.rejects:
                self.bench.answer(name(entry), "no")
            else:
                self.delivered.add(name(entry))
                self.bench.answer(name(entry))

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.bench.disconnect()
        self.connected = False

    @precondition(lambda self: not self.connected)
    @rule(window=st.sampled_from([1, 2, MAX_IN_FLIGHT]))
    def connect(self, window: int) -> None:
        self.bench.connect(window)
        self.window, self.connected = window, True

    @invariant()
    def the_window_is_kept(self) -> None:
        sent = self.bench.in_flight.events
        assert len(sent) <= self.window
        assert len(set(sent)) == len(sent), "nothing is in flight twice"

    def teardown(self) -> None:
        """When the broker takes everything, everything arrives."""
        self.rejects, self.ends_over = set(), set()
        events = {f"{camera}{n + 1}" for camera, last in self.bench.seqs.items() for n in range(last)}
        if not self.connected:
            self.connect(MAX_IN_FLIGHT)
        for _ in range(10 + 3 * len(events)):
            self.bench.send()
            self.answer()
            if not self.bench.in_flight.events:
                self.bench.now_s += TIMING.max_retry_s
        self.bench.feed.store_acknowledged(more_to_come=False)
        assert self.delivered == events
        assert self.bench.outbox.waiting == 0
        assert self.bench.feed.rejections == {}
        self.bench.outbox.close()


TestBrokerWithRules = BrokerWithRules.TestCase
