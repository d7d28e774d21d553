"""A bridge between two real brokers, with the shipped settings: every acknowledged event arrives behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bridge import BridgedBrokers
from tests.support.delivery import BASE, DeliveryRecorder, StartPublisher, action_event, camera_status
from tests.support.mqtt import RecordingClient
from tests.support.waiting import eventually

EVENTS = 3000
WINDOW = 100  # more than a bridge has in flight
STATE = "edge-tdn-bridge/barn"


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[BridgedBrokers]:
    one = BridgedBrokers(tmp_path)
    yield one
    one.close()


def wait_for_bridge(brokers: BridgedBrokers, state: bytes = b"1") -> None:
    client = RecordingClient(brokers.centre.port, STATE)
    eventually(lambda: [one.payload for one in client.on(STATE)][-1:] == [state])
    client.disconnect()


@pytest.mark.parametrize("broken", ["link", "centre", "edge"])
def test_every_acknowledged_event_arrives_behind_the_bridge(
    broken: str, brokers: BridgedBrokers, start_publisher: StartPublisher
) -> None:
    """The link is cut, the centre is down, or the broker on site is restarted while the link is cut."""
    wait_for_bridge(brokers)
    publisher = start_publisher(brokers.edge.config())
    if broken == "centre":
        brokers.centre.stop()
    else:
        brokers.link.cut()
    for seq in range(1, EVENTS + 1):
        publisher.event(action_event(seq))
    eventually(lambda: publisher.last_seq("door") == EVENTS and publisher.outbox_status.delivered == EVENTS)
    if broken == "edge":
        brokers.edge.stop()
        brokers.edge.start()
    if broken == "centre":
        brokers.centre.start()
    recorder = DeliveryRecorder(brokers.centre.port)
    brokers.link.mend()
    recorder.wait_for(lambda: len(set(recorder.seqs())) >= EVENTS)
    assert list(dict.fromkeys(recorder.seqs())) == list(range(1, EVENTS + 1))
    assert len({(event.id, event.seq) for event in recorder.events()}) == EVENTS
    recorder.close()


def test_without_the_queue_limit_of_the_settings_acknowledged_events_are_lost(
    tmp_path: Path, start_publisher: StartPublisher
) -> None:
    """The settings are needed: mosquitto drops what it has acknowledged, beyond 1000 messages."""
    brokers = BridgedBrokers(tmp_path, without="max_queued_messages")
    try:
        wait_for_bridge(brokers)
        publisher = start_publisher(brokers.edge.config())
        brokers.link.cut()
        for seq in range(1, EVENTS + 1):
            publisher.event(action_event(seq))
        eventually(lambda: publisher.outbox_status.delivered == EVENTS)
        recorder = DeliveryRecorder(brokers.centre.port)
        brokers.link.mend()
        recorder.wait_for(lambda: len(set(recorder.seqs())) > WINDOW)  # so that the queue has room again
        publisher.event(action_event(EVENTS + 1))
        recorder.wait_for(lambda: EVENTS + 1 in recorder.seqs())
        assert len(set(recorder.seqs())) < EVENTS / 2
        recorder.close()
    finally:
        brokers.close()


def test_states_commands_and_the_state_of_the_link_pass_the_bridge(
    brokers: BridgedBrokers, start_publisher: StartPublisher
) -> None:
    commands: list[str] = []
    publisher = start_publisher(brokers.edge.config(), commanded=lambda topic, payload: commands.append(topic))
    publisher.camera_status(camera_status())
    wait_for_bridge(brokers)
    recorder = DeliveryRecorder(brokers.centre.port)
    recorder.wait_for(lambda: recorder.last("availability") == b"online" and recorder.last("door/status"))
    recorder.publish_below("cmd/replay", b"{}")
    eventually(lambda: commands == ["replay"])
    brokers.link.cut()
    wait_for_bridge(brokers, b"0")
    assert recorder.last("availability") == b"online", "which is why the state of the bridge is needed"
    brokers.link.mend()
    wait_for_bridge(brokers)
    assert len(recorder.on(f"{BASE}/cmd/replay")) == 1, "a command does not return"
    recorder.close()
