"""Brokers that take some topics and reject others: the others are delivered, nothing is lost."""

import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import PublisherTiming
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, DeliveryRecorder, StartPublisher, action_event
from tests.support.scripted_broker import (
    CONNACK_5,
    CONNACK_5_ONE_IN_FLIGHT,
    ScriptedBroker,
    is_connect,
    is_publish,
    puback,
    publish_qos_0,
    topic_of,
)
from tests.support.waiting import eventually

ANONYMOUS = "allow_anonymous true"
ONLY_GATE = f"topic read #\ntopic write {BASE}/gate/#\n"
EVERYTHING = "topic readwrite #\n"

GuardedBroker = Callable[[str], Mosquitto]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedBroker]:
    """guarded(lines) -> a broker whose guarded port has these settings."""
    started: list[Mosquitto] = []

    def start(lines: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path, lines))
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The access rules of a broker started with `with_rules`."""
    return tmp_path / "topics"


def with_rules(rules: Path) -> str:
    return f"{ANONYMOUS}\nacl_file {rules}"


def allow_everything(rules: Path, broker: Mosquitto) -> None:
    rules.write_text(EVERYTHING)
    broker.process.send_signal(signal.SIGHUP)


def at(port: int, **more: object) -> BrokerConfig:
    return BrokerConfig.model_validate({"url": f"mqtt://127.0.0.1:{port}", **more})


def publish_events(publisher: Publisher, first: int, last: int) -> None:
    """Publish the events of both cameras."""
    for seq in range(first, last + 1):
        for camera in ("door", "gate"):
            publisher.event(action_event(seq, camera))


def test_events_of_a_denied_topic_wait_while_others_are_sent(
    guarded: GuardedBroker, start_publisher: StartPublisher, rules: Path
) -> None:
    rules.write_text(ONLY_GATE)
    broker = guarded(with_rules(rules))
    recorder = DeliveryRecorder(broker.port)
    publisher = start_publisher(at(broker.guarded_port))
    publish_events(publisher, 1, 299)
    recorder.wait_for(lambda: len(recorder.events()) == 299)
    assert {event.camera for event in recorder.events()} == {"gate"}
    assert publisher.delivery.state == "degraded"
    assert re.search(rf"{BASE}/door/events was rejected: Not authorized", publisher.delivery.reason)
    eventually(lambda: publisher.outbox_status.waiting == 299)
    allow_everything(rules, broker)
    eventually(lambda: publisher.outbox_status.waiting == 0 and publisher.delivery.state == "connected")
    recorder.wait_for(lambda: len(recorder.events()) == 2 * 299)
    for camera in ("door", "gate"):
        assert recorder.seqs(camera) == list(range(1, 300))
    recorder.close()


def test_mqtt_3_acknowledges_events_of_a_denied_topic(
    guarded: GuardedBroker, start_publisher: StartPublisher, rules: Path
) -> None:
    """Which is why MQTT 5 is the default: here the broker acknowledges what it throws away."""
    rules.write_text(ONLY_GATE)
    broker = guarded(with_rules(rules))
    recorder = DeliveryRecorder(broker.port)
    publisher = start_publisher(at(broker.guarded_port, protocol="3.1.1"))
    publish_events(publisher, 1, 1)
    recorder.wait_for(lambda: publisher.outbox_status.waiting == 0 and recorder.events())
    assert [event.camera for event in recorder.events()] == ["gate"]
    assert publisher.delivery.state == "connected"
    recorder.close()


def test_a_denied_state_is_reported_and_sent_when_it_is_allowed(
    guarded: GuardedBroker, start_publisher: StartPublisher, rules: Path
) -> None:
    rules.write_text(f"topic read #\ntopic write {BASE}/+/events\n")
    broker = guarded(with_rules(rules))
    recorder = DeliveryRecorder(broker.port)
    publisher = start_publisher(at(broker.guarded_port), timing=PublisherTiming(max_retry_s=2.0))
    publisher.action("door", "left")
    eventually(lambda: publisher.delivery.state == "degraded", describe=lambda: publisher.delivery)
    assert f"{BASE}/availability was rejected: Not authorized" in publisher.delivery.reason
    allow_everything(rules, broker)
    recorder.wait_for(lambda: recorder.last("availability") == b"online" and recorder.last("door/action") == b"left")
    eventually(lambda: publisher.delivery.state == "connected", describe=lambda: publisher.delivery)
    recorder.close()


def test_a_rejected_camera_without_events_is_forgotten(
    guarded: GuardedBroker, start_publisher: StartPublisher, rules: Path
) -> None:
    rules.write_text(f"{ONLY_GATE}topic write {BASE}/availability\n")
    broker = guarded(with_rules(rules))
    later_s = 0.0
    outbox = Outbox(None, OutboxConfig(), lambda: time.monotonic() + later_s)
    publisher = start_publisher(at(broker.guarded_port), outbox=outbox)
    publish_events(publisher, 1, 3)
    eventually(lambda: publisher.delivery.state == "degraded")
    eventually(lambda: publisher.outbox_status.waiting == 3)
    later_s = 200 * 3600  # older than [outbox] max_age_h
    eventually(lambda: publisher.delivery.state == "connected", describe=lambda: publisher.delivery)
    assert publisher.outbox_status.dropped == 3
    clock = time.pthread_getcpuclockid(publisher._thread.ident or 0)
    began = time.clock_gettime(clock)
    time.sleep(1)
    assert time.clock_gettime(clock) - began < 0.5  # it does not spin


def test_an_event_that_is_too_large_for_the_broker_does_not_stop_the_others(
    guarded: GuardedBroker, start_publisher: StartPublisher
) -> None:
    broker = guarded(f"{ANONYMOUS}\nmax_packet_size 2000")
    recorder = DeliveryRecorder(broker.port)
    publisher = start_publisher(at(broker.guarded_port))
    publisher.event(action_event(1, label="x" * 2000))
    publish_events(publisher, 2, 3)
    recorder.wait_for(lambda: recorder.seqs("gate") == recorder.seqs("door") == [2, 3])
    eventually(lambda: publisher.delivery.state == "degraded", describe=lambda: publisher.delivery)
    assert re.search(rf"{BASE}/door/events was rejected: .* bytes", publisher.delivery.reason)
    eventually(lambda: publisher.outbox_status.waiting == 1)
    recorder.close()


def test_a_broker_that_ends_the_connection_over_one_camera_gets_the_others(start_publisher: StartPublisher) -> None:
    """As some brokers do with a topic that their rules forbid."""
    delivered = []

    def closes_over_the_door(client: socket.socket, first: int, body: bytes) -> bool:
        if is_connect(first):
            client.sendall(CONNACK_5)
        if is_publish(first):
            topic = topic_of(body)
            if "/door/" in topic:
                return False
            delivered.append(topic)
            client.sendall(puback(body))
        return True

    broker = ScriptedBroker(closes_over_the_door)
    publisher = start_publisher(at(broker.port))
    publish_events(publisher, 1, 10)
    eventually(lambda: delivered.count(f"{BASE}/gate/events") >= 10, describe=lambda: publisher.delivery)
    eventually(lambda: publisher.outbox_status.waiting == 10)
    eventually(lambda: "door/events was rejected: the connection ended over it" in publisher.delivery.reason)
    publisher.stop()
    broker.close()


def test_no_more_is_in_flight_than_the_broker_allows(start_publisher: StartPublisher) -> None:
    """One message. With every PUBACK another client declares the host offline, so that `online` has to be sent too."""
    unanswered: list[bytes] = []
    too_many = []
    answered = 0

    def takes_one(client: socket.socket, first: int, body: bytes) -> bool:
        if is_connect(first):
            client.sendall(CONNACK_5_ONE_IN_FLIGHT)
        if is_publish(first):
            unanswered.append(body)
            if len(unanswered) > 1:
                too_many.append(list(unanswered))
            threading.Timer(0.05, answer, (client,)).start()
        return True

    def answer(client: socket.socket) -> None:
        nonlocal answered
        answered += 1
        with suppress(OSError):
            client.sendall(puback(unanswered.pop(0)) + publish_qos_0(f"{BASE}/availability", b"offline"))

    broker = ScriptedBroker(takes_one)
    publisher = start_publisher(at(broker.port), timing=PublisherTiming())  # the goodbye never ends
    publish_events(publisher, 1, 10)
    eventually(lambda: answered >= 20 and publisher.outbox_status.waiting == 0)
    publisher.stop()
    assert not too_many
    broker.close()
