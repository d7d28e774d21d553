"""Tests of what the broker should hold, without a broker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT, InFlight
from edge_tdn.delivery.mqtt import PROTOCOL_MAX_PACKET_BYTES, Message
from edge_tdn.delivery.retained_state import LARGE_BYTES, RULES, RetainedState
from edge_tdn.delivery.timing import PublisherTiming

TIMING = PublisherTiming(max_retry_s=30)
ONLINE = Message("availability", b"online", retain=True)
LARGE = b"x" * (LARGE_BYTES + 1)


def retained(topic: str, payload: bytes = b"1") -> Message:
    return Message(topic, payload, retain=True)


class RetainedStateHarness:
    """A retained state, a clock that stands still, and the test in place of the broker."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.in_flight = InFlight()
        self.limits = BrokerLimits(TIMING, lambda: self.now_s)
        self.state = RetainedState(self.in_flight, self.limits, TIMING, lambda: self.now_s)
        self.held: dict[str, bytes] = {}  # by the broker
        self._packet_id = 0

    def connect(self, window: int = MAX_IN_FLIGHT) -> None:
        self.in_flight.open(window)
        self.limits.connected(PROTOCOL_MAX_PACKET_BYTES)
        self.state.connected(ONLINE)

    def disconnect(self) -> bool:
        """Return whether a message is suspected."""
        suspected = self.state.disconnected(blame=True)
        self.in_flight.close()
        return suspected

    def send(self) -> list[str]:
        """Send what the state yields; return the topics."""
        sent = []
        for message in self.state.next_small():
            self._add(message)
            sent.append(message.topic)
        large = self.state.next_large()
        if large:
            self._add(large)
            sent.append(large.topic)
        alone = (self.state.next_alone() or self.state.next_probe()) if self.in_flight.empty else None
        if alone:
            self._add(alone, alone=True)
            sent.append(alone.topic)
        return sent

    def acknowledge(self) -> None:
        """Acknowledge everything in flight."""
        for packet_id, message in list(self.in_flight._sent.items()):
            assert isinstance(message, Message)
            self.in_flight.remove(packet_id)
            self.held[message.topic] = message.payload
            self.limits.accepted(message)
            self.state.acknowledged(message)

    def reject(self, topic: str) -> None:
        packet_id, message = next((id_, m) for id_, m in self.in_flight._sent.items() if m.topic == topic)  # type: ignore[union-attr]
        self.in_flight.remove(packet_id)
        assert isinstance(message, Message)
        self.state.rejected(message, "Not authorized")

    def _add(self, message: Message, alone: bool = False) -> None:
        self._packet_id += 1
        self.in_flight.add(self._packet_id, message, alone)


@pytest.fixture
def harness() -> RetainedStateHarness:
    return RetainedStateHarness()


def test_everything_is_sent_at_every_connect_after_the_birth_message(harness: RetainedStateHarness) -> None:
    harness.state.set(retained("a"))
    harness.state.set(retained("b"))
    for _ in range(2):
        harness.connect()
        assert harness.send() == ["availability", "a", "b"]
        harness.acknowledge()
        assert harness.send() == []
        harness.disconnect()


def test_only_the_newest_message_of_a_topic_is_sent(harness: RetainedStateHarness) -> None:
    harness.connect()
    harness.send()
    harness.state.set(retained("a", b"1"))
    harness.state.set(retained("a", LARGE))
    harness.state.set(retained("a", b"2"))
    assert harness.send() == ["a"]
    harness.acknowledge()
    assert harness.held["a"] == b"2"


def test_large_messages_are_sent_last_and_one_at_a_time(harness: RetainedStateHarness) -> None:
    harness.connect()
    harness.state.set(retained("large", LARGE))
    harness.state.set(retained("larger", LARGE))
    harness.state.set(retained("small"))
    assert harness.send() == ["availability", "small", "large"]
    harness.state.set(retained("small", b"2"))
    assert harness.send() == ["small"]
    harness.acknowledge()
    assert harness.send() == ["larger"]


def test_a_large_message_that_the_broker_has_is_sent_again_on_request_alone(harness: RetainedStateHarness) -> None:
    harness.connect()
    harness.state.set(retained("large", LARGE))
    harness.send()
    harness.acknowledge()
    harness.disconnect()
    harness.connect()
    assert harness.send() == ["availability"]
    harness.state.send_all(large=True)
    assert harness.send() == ["large"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_another_broker_gets_all_large_messages_the_same_one_those_in_flight(
    harness: RetainedStateHarness, elsewhere: bool
) -> None:
    """A reload replaces the connection, which is not the fault of the message that it interrupts."""
    harness.connect()
    for topic in ("large", "larger"):
        harness.state.set(retained(topic, LARGE))
    harness.send()
    harness.acknowledge()
    assert harness.send() == ["larger"]
    harness.state.reconnecting(elsewhere)
    harness.in_flight.close()
    harness.connect()
    sent = []
    while topics := harness.send():
        sent += topics
        harness.acknowledge()
    assert sent == ["availability", *(["large"] if elsewhere else []), "larger"]
    assert not harness.disconnect()


@pytest.mark.parametrize("payload", [b"1", LARGE])
def test_what_was_in_flight_when_the_connection_ended_is_sent_alone(
    harness: RetainedStateHarness, payload: bytes
) -> None:
    harness.state.set(retained("a", payload))
    harness.state.set(retained("b"))
    harness.connect()
    harness.send()
    harness.state.set(retained("c"))
    assert harness.disconnect()
    harness.connect()
    assert harness.send() == ["availability", "c"]
    for suspect in sorted("ab", key=lambda topic: len(harness.state._messages[topic].payload)):
        harness.acknowledge()
        assert harness.send() == [suspect], "the smallest first"
    harness.acknowledge()
    assert not harness.state.has_suspects(probes=True)
    assert harness.held["a"] == payload


def test_one_ending_is_forgiven_by_an_acknowledgement(harness: RetainedStateHarness) -> None:
    harness.state.set(retained("a"))
    harness.connect()
    harness.send()
    for _ in range(5):
        assert harness.disconnect()
        harness.connect()
        assert harness.send() == ["availability"]
        harness.acknowledge()
        assert harness.send() == ["a"], "alone"
        assert harness.disconnect()
        harness.connect()
        harness.send()
        harness.acknowledge()
        assert harness.send() == ["a"]
        harness.acknowledge()
        assert harness.state.denials == {}
        harness.state.set(retained("a"))
        assert harness.send() == ["a"]


def test_a_suspect_that_was_replaced_meanwhile_is_not_sent_again(harness: RetainedStateHarness) -> None:
    harness.state.set(retained("large", LARGE))
    harness.connect()
    harness.send()
    harness.state.set(retained("large", b""))
    harness.disconnect()
    harness.connect()
    assert harness.send() == ["availability"]
    harness.acknowledge()
    assert harness.send() == ["large"]
    harness.acknowledge()
    assert harness.held["large"] == b""


def test_a_topic_over_which_connections_end_is_left_out_until_its_probe(harness: RetainedStateHarness) -> None:
    """Larger messages were acknowledged, so its size is not the reason."""
    harness.state.set(retained("a"))
    harness.state.set(retained("b", LARGE))

    def end_over_a() -> None:
        harness.connect()
        while "a" not in harness.send():
            harness.acknowledge()
        harness.disconnect()

    harness.connect()
    harness.send()
    harness.acknowledge()
    harness.state.set(retained("a", b"2"))
    assert harness.send() == ["a"]
    harness.disconnect()
    for _ in range(2):
        end_over_a()
    assert harness.state.denials == {"a": RULES}
    for wait_s in (120, 240, 480):
        harness.connect()
        assert harness.send() == ["availability"]
        harness.acknowledge()
        harness.now_s += wait_s - 1
        assert harness.send() == []
        harness.state.set(retained("a", b"3"))
        assert harness.send() == [], "newer content makes no difference"
        harness.disconnect()
        harness.now_s += 1
        end_over_a()
    harness.now_s += 960
    harness.connect()
    harness.send()
    harness.acknowledge()
    assert harness.send() == ["a"]
    harness.acknowledge()
    assert harness.held["a"] == b"3"
    assert harness.state.denials == {}


def test_a_removed_topic_is_cleared_once(harness: RetainedStateHarness) -> None:
    harness.connect()
    harness.state.set(retained("a", b""))
    assert "a" in harness.send()
    harness.disconnect()
    harness.connect()
    harness.send()
    harness.acknowledge()
    assert harness.send() == ["a"], "it was not acknowledged"
    harness.acknowledge()
    harness.disconnect()
    harness.connect()
    assert "a" not in harness.send()


def test_a_dropped_topic_is_never_sent_again(harness: RetainedStateHarness) -> None:
    """It waited, was denied, was a suspect, or is rejected only after it was dropped."""
    harness.state.set(retained("suspect"))
    harness.connect()
    harness.send()
    harness.disconnect()
    harness.connect()
    for topic, payload in (("denied", b"1"), ("late", b"1"), ("large", LARGE), ("huge", LARGE)):
        harness.state.set(retained(topic, payload))
    assert harness.send() == ["availability", "denied", "late", "large"]
    harness.reject("denied")
    harness.state.set(retained("waits"))
    harness.state.drop(["suspect", "denied", "late", "large", "huge", "waits"])
    harness.reject("late")
    harness.acknowledge()
    assert harness.state.denials == {}
    assert not harness.state.has_suspects(probes=True)
    harness.now_s += 10 * TIMING.max_retry_s
    assert harness.send() == []
    harness.disconnect()
    harness.connect()
    assert harness.send() == ["availability"]
    harness.state.set(retained("late"))
    assert harness.send() == ["late"]
    harness.reject("late")
    assert harness.state.denials == {"late": "Not authorized"}


def test_a_denied_message_is_sent_again_later(harness: RetainedStateHarness) -> None:
    harness.state.set(retained("a"))
    harness.connect()
    harness.send()
    harness.reject("a")
    harness.reject("availability")
    assert harness.state.denials == {"a": "Not authorized", "availability": "Not authorized"}
    harness.now_s += TIMING.max_retry_s - 0.1
    assert harness.send() == []
    harness.state.set(retained("a", b"2"))
    assert harness.send() == ["a"]
    harness.reject("a")
    harness.now_s += 0.1
    assert harness.send() == ["a", "availability"]
    harness.acknowledge()
    assert harness.state.denials == {}
    assert harness.held == {"a": b"2", "availability": b"online"}


def test_one_accepted_topic_makes_the_others_retry_at_once(harness: RetainedStateHarness) -> None:
    harness.state.set(retained("a"))
    harness.state.set(retained("b"))
    harness.connect()
    harness.send()
    harness.reject("a")
    harness.reject("b")
    harness.state.set(retained("a"))
    assert harness.send() == ["a"]
    harness.acknowledge()
    assert harness.state.denials == {"b": "Not authorized"}
    assert harness.send() == ["b"]
    harness.reject("b")
    assert harness.send() == []
    harness.state.retry_soon()
    assert harness.send() == ["b"]


@pytest.mark.parametrize("payload", [b"1", LARGE])
def test_a_new_connection_forgets_denials(harness: RetainedStateHarness, payload: bytes) -> None:
    harness.state.set(retained("a", payload))
    harness.connect()
    harness.send()
    harness.reject("a")
    harness.disconnect()
    harness.connect()
    assert harness.state.denials == {}
    assert "a" in harness.send()


def test_an_announcement_sends_what_has_changed(harness: RetainedStateHarness) -> None:
    harness.connect()
    harness.state.announce({"a": b"1", "b": b"1"})
    assert harness.send() == ["availability", "a", "b"]
    harness.acknowledge()
    harness.state.announce({"a": b"1", "c": b"1"})
    assert harness.send() == ["c"], "a has not changed"
    harness.acknowledge()
    assert harness.held == {"availability": b"online", "a": b"1", "b": b"1", "c": b"1"}


STEPS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from("abc"), st.sampled_from([b"", b"1", b"2", LARGE, LARGE + b"2"])),
    st.tuples(st.sampled_from(["send", "acknowledge", "disconnect", "wait"]), st.just(""), st.just(b"")),
    st.tuples(st.just("reject"), st.sampled_from("abc"), st.just(b"")),
    st.tuples(st.just("connect"), st.just(""), st.just(b"")),
)


@given(st.lists(STEPS, max_size=40))
def test_the_broker_ends_with_the_newest_message_of_each_topic(steps: list[tuple[str, str, bytes]]) -> None:
    """However often connections were lost over it, or the broker denied it."""
    harness, connected = RetainedStateHarness(), False
    newest: dict[str, bytes] = {}
    for step, topic, payload in steps:
        match step:
            case "set":
                harness.state.set(retained(topic, payload))
                newest[topic] = payload
            case "reject":
                if any(message.topic == topic for message in harness.in_flight.messages):
                    harness.reject(topic)
            case "wait":
                harness.now_s += TIMING.max_retry_s
            case "acknowledge":
                harness.acknowledge()
            case "connect" if not connected:
                harness.connect(window=2)
                connected = True
            case "disconnect" if connected:
                harness.disconnect()
                connected = False
            case "send" if connected:
                harness.send()
                large = [message for message in harness.in_flight.messages if len(message.payload) > LARGE_BYTES]
                assert len(harness.in_flight.messages) <= 2
                assert len(large) <= 1
    harness.disconnect()
    harness.connect()
    harness.state.send_all(large=True)
    for _ in range(10 + 3 * len(newest)):
        harness.send()
        harness.acknowledge()
        harness.now_s += TIMING.max_probe_s
    assert {topic: harness.held.get(topic, b"") for topic in newest} == newest
