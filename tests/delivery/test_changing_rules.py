"""Any sequence of faults: everything arrives when the broker accepts everything again."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT
from tests.support.event_feed import TIMING, FeedHarness, name


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
        self.harness.feed.acknowledgements.store(more_to_come)

    @precondition(lambda self: self.connected)
    @rule()
    def send(self) -> None:
        rejected = set(self.harness.feed.rejections)
        for event in self.harness.send():
            camera = event[0]
            if camera in rejected and camera in self.harness.feed.rejections:
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
        self.harness.feed.acknowledgements.store(more_to_come=False)
        assert self.delivered == events
        assert self.harness.outbox.waiting == 0
        assert self.harness.feed.rejections == {}
        self.harness.outbox.close()


TestBrokerWithRules = BrokerWithRules.TestCase
