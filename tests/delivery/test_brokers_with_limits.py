"""Real brokers that end the connection over a message that is too large, without having announced a limit."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.timing import ConnectionTiming, PublisherTiming
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, DeliveryRecorder, StartPublisher, action_event
from tests.support.mqtt import RecordingClient
from tests.support.waiting import eventually

QUICK = ConnectionTiming(min_retry_s=0.05, max_retry_s=0.2)
TIMING = PublisherTiming(min_retry_s=0.05)
LIMITS = [("max_packet_size 6000", "3.1.1"), ("message_size_limit 6000", "5")]

LimitedBroker = Callable[[str], Mosquitto]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[LimitedBroker]:
    """limited(line) -> a broker whose guarded port has this line in its settings."""
    started: list[Mosquitto] = []

    def start(line: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path, f"allow_anonymous true\n{line}"))
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


def config(broker: Mosquitto, protocol: str) -> BrokerConfig:
    return BrokerConfig.model_validate({"url": f"mqtt://127.0.0.1:{broker.guarded_port}", "protocol": protocol})


@pytest.mark.parametrize(("limit", "protocol"), LIMITS)
def test_pictures_that_are_too_large_stop_no_event(
    limited: LimitedBroker, start_publisher: StartPublisher, limit: str, protocol: str
) -> None:
    broker = limited(limit)
    recorder = DeliveryRecorder(broker.port)
    publisher = start_publisher(config(broker, protocol), timing=TIMING, connection_timing=QUICK)
    for seq in range(1, 21):
        publisher.event(action_event(seq))
        publisher.action("door", f"label {seq}")
        publisher.snapshot("door", bytes(15_000 + seq))
    recorder.wait_for(lambda: recorder.last("door/action") == b"label 20" and 20 in recorder.seqs())
    assert list(dict.fromkeys(recorder.seqs())) == list(range(1, 21)), "in order"
    eventually(lambda: publisher.outbox_status.waiting == 0, describe=lambda: publisher.delivery)
    eventually(lambda: publisher.delivery.state == "degraded", describe=lambda: publisher.delivery)
    assert publisher.delivery.reason.startswith(f"{BASE}/door/snapshot was rejected: too large for this broker")
    connects = publisher.connects
    assert connects <= 4
    publisher.snapshot("door", bytes(16_000))
    publisher.event(action_event(21))
    publisher.snapshot("door", bytes(5000))
    recorder.wait_for(lambda: recorder.last("door/snapshot") == bytes(5000))
    recorder.wait_for(lambda: 21 in recorder.seqs())
    assert publisher.connects == connects, "later pictures are not tried"
    eventually(lambda: publisher.delivery.state == "connected", describe=lambda: publisher.delivery)
    recorder.close()


@pytest.mark.parametrize(("limit", "protocol"), [("max_packet_size 4000", "3.1.1"), ("message_size_limit 4000", "5")])
def test_documents_that_are_too_large_stop_no_event_and_no_smaller_document(
    limited: LimitedBroker, start_publisher: StartPublisher, limit: str, protocol: str
) -> None:
    broker = limited(limit)
    recorder, dashboard = DeliveryRecorder(broker.port), RecordingClient(broker.port, "homeassistant/#")
    publisher = start_publisher(config(broker, protocol), timing=TIMING, connection_timing=QUICK)
    sizes = [500, 9000, 3000, 4500, 6000, 1000]
    publisher.announce({f"homeassistant/{size}": bytes(size) for size in sizes}, "homeassistant/status")
    for seq in range(1, 11):
        publisher.event(action_event(seq))
    recorder.wait_for(lambda: 10 in recorder.seqs())
    assert list(dict.fromkeys(recorder.seqs())) == list(range(1, 11)), "in order"
    eventually(lambda: "and 2 more topics" in publisher.delivery.reason, describe=lambda: publisher.delivery)

    def arrived() -> set[int]:
        return {int(message.topic.partition("/")[2]) for message in list(dashboard.messages)}

    dashboard.wait_for(lambda: arrived() >= {500, 1000, 3000})
    assert arrived() == {500, 1000, 3000}
    assert publisher.connects <= 4
    recorder.close()
    dashboard.close()
