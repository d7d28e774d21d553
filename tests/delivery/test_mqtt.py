"""Connections to a broker that is slow, silent or broken."""

import signal
import socket
import subprocess
import threading
import time
from codecs import BOM_UTF8
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_tdn.config.credentials import broker_access
from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Connection, Lost, Message, SubscriptionRejected, _Attempt
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import ConnectionTiming, PublisherTiming
from edge_tdn.messages import ActionEvent
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, DeliveryRecorder, StartPublisher, action_event, raise_failure
from tests.support.scripted_broker import PINGREQ, PINGRESP
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.wire import Wire

ENDLESS_S = 3600.0
ENDLESS = {  # waits for ever wherever the publisher waits for a broker
    "timing": PublisherTiming(goodbye_s=ENDLESS_S),
    "connection_timing": ConnectionTiming(
        min_retry_s=ENDLESS_S, max_retry_s=ENDLESS_S, connect_s=ENDLESS_S, connack_s=ENDLESS_S
    ),
}


def test_without_a_broker_stopping_takes_no_time(
    start_publisher: StartPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    timing = ConnectionTiming(min_retry_s=ENDLESS_S, max_retry_s=ENDLESS_S, close_s=ENDLESS_S)
    config = BrokerConfig(url="mqtt://127.0.0.1:1")
    publisher = start_publisher(config, timing=PublisherTiming(goodbye_s=ENDLESS_S), connection_timing=timing)
    publisher.event(action_event(1))
    eventually(lambda: "unreachable" in caplog.text)
    publisher.stop()
    assert not publisher.connected


def test_a_server_that_accepts_and_never_answers_does_not_delay_the_stop(start_publisher: StartPublisher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        publisher = start_publisher(config, **ENDLESS)
        silent.settimeout(PATIENCE_S)
        connected, _ = silent.accept()
        assert connected.recv(1)  # of its CONNECT
        publisher.stop()
        connected.close()


def test_a_server_that_never_accepts_does_not_delay_the_stop(
    start_publisher: StartPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects, connect = threading.Event(), socket.create_connection

    def recorded(*arguments: Any, **more: Any) -> socket.socket:
        connects.set()
        return connect(*arguments, **more)

    monkeypatch.setattr(socket, "create_connection", recorded)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # they fill the queue of connections: the next one waits for an answer
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        publisher = start_publisher(config, **ENDLESS)
        assert connects.wait(PATIENCE_S)
        publisher.stop()
        for filler in fillers:
            filler.close()


def test_the_reason_for_a_missing_connection_is_logged(
    start_publisher: StartPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    start_publisher(BrokerConfig(url="mqtt://127.0.0.1:1"))
    eventually(lambda: "broker=127.0.0.1:1 unreachable: Connection refused" in caplog.text)


def test_a_connection_that_is_closed_before_its_name_is_resolved_sends_nothing(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late CONNECT would take over the session of the connection that has replaced it."""
    requested, answer, resolve = threading.Event(), threading.Event(), socket.getaddrinfo

    def slow(*arguments: Any, **more: Any) -> Any:
        requested.set()
        answer.wait(PATIENCE_S)
        return resolve(*arguments, **more)

    wire = Wire(broker.port)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    connection = Connection(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}"), "daemon")
    assert requested.wait(PATIENCE_S)
    connection.close()
    answer.set()
    lost = connection.notes.get(timeout=PATIENCE_S)
    assert isinstance(lost, Lost), lost
    assert not wire.sent
    assert connection.notes.empty()
    wire.close()


def test_a_frozen_broker_is_noticed_within_two_keepalives(broker: Mosquitto, start_publisher: StartPublisher) -> None:
    """After the second, by one ping without an answer."""
    recorder, wire = DeliveryRecorder(broker.port), Wire(broker.port)
    publisher = start_publisher(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}", keepalive_s=2))
    publisher.event(action_event(1))
    eventually(lambda: publisher.outbox_status.waiting == 0 and publisher.connected)
    recorder.wait_for(recorder.events)
    place = wire.sent.index(b"MQTT") + 6  # of the keepalive in CONNECT
    assert wire.sent[place : place + 2] == b"\x00\x02"
    began = time.monotonic()
    broker.process.send_signal(signal.SIGSTOP)
    for seq in (2, 3):
        publisher.event(action_event(seq))
    eventually(lambda: not publisher.connected, describe=lambda: publisher.delivery)
    assert time.monotonic() - began > 1
    assert wire.sent.count(PINGREQ) == wire.answered.count(PINGRESP) + 1
    eventually(lambda: publisher.delivery.state == "unreachable", describe=lambda: publisher.delivery)
    publisher.event(action_event(4))
    broker.process.send_signal(signal.SIGCONT)
    recorder.wait_for(lambda: set(recorder.seqs()) == {1, 2, 3, 4} and publisher.outbox_status.waiting == 0)
    assert list(dict.fromkeys(recorder.seqs())) == [1, 2, 3, 4]  # some twice: the broker had read them before it froze
    recorder.close()
    wire.close()


@pytest.mark.parametrize("callback", ["_on_publish", "_on_message", "_on_connect"])
def test_the_death_of_the_network_thread_loses_nothing(
    callback: str, broker: Mosquitto, start_publisher: StartPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([True])
    original = getattr(_Attempt, callback)

    def fail_once(self: _Attempt, *arguments: Any) -> None:
        if next(failures, False):
            raise ZeroDivisionError("injected")
        original(self, *arguments)

    recorder = DeliveryRecorder(broker.port)
    monkeypatch.setattr(_Attempt, callback, fail_once)
    publisher = start_publisher(broker.config())
    for seq in range(1, 51):
        publisher.event(action_event(seq, "door"))
        publisher.event(action_event(seq, "gate"))
    if callback == "_on_message":
        eventually(lambda: publisher.connected or publisher.session > 0)
        recorder.publish_below("cmd/replay", b"{}")
    eventually(lambda: publisher.session > 1 or callback == "_on_connect")
    everything = {camera: list(range(1, 51)) for camera in ("door", "gate")}
    recorder.wait_for(lambda: all(set(recorder.seqs(camera)) == set(seqs) for camera, seqs in everything.items()))
    eventually(lambda: publisher.outbox_status.waiting == 0)
    assert next(failures, None) is None
    assert {camera: list(dict.fromkeys(recorder.seqs(camera))) for camera in everything} == everything
    assert publisher.session > 1 or callback == "_on_connect"
    recorder.close()


def test_messages_carry_their_mqtt_5_properties(
    broker: Mosquitto, start_publisher: StartPublisher, tmp_path: Path
) -> None:
    """Birth, last will and events, as mosquitto_sub prints them."""
    topics = [f"{BASE}/availability", f"{BASE}/door/events", f"{BASE}/subscribed"]
    connection, link = broker.link()
    link.publish(Message(topics[-1], b"yes", retain=True))
    printed = tmp_path / "printed"
    filters = [word for topic in topics for word in ("-t", topic)]
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "5", "-F", "%t|%C|%E|%P|%p", *filters]
    with printed.open("wb") as output:
        client = subprocess.Popen(command, stdout=output)
    wire = Wire(broker.port)

    def printed_state(session: int, state: str) -> bool:
        return f"|boot:b007 session:{session}|{state}\n" in printed.read_text()

    try:
        eventually(lambda: "subscribed" in printed.read_text())
        publisher = start_publisher(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}"))
        publisher.event(action_event(7))
        eventually(lambda: '"seq":7' in printed.read_text() and publisher.outbox_status.waiting == 0)
        first = publisher.session
        wire.cut()
        eventually(lambda: printed_state(first, "offline"))
        wire.mend()
        eventually(lambda: publisher.session > first and printed_state(publisher.session, "online"))
    finally:
        connection.close()
        client.terminate()
        client.wait()
        wire.close()
    lines = [line.split("|", 4) for line in printed.read_text().splitlines()]
    states = [(line[3], line[4]) for line in lines if line[0] == topics[0]]
    assert (f"boot:b007 session:{first}", "online") in states
    assert (f"boot:b007 session:{first}", "offline") in states
    assert states[-1] == (f"boot:b007 session:{publisher.session}", "online")
    (event,) = (line for line in lines if line[0] == topics[1])
    assert event[1] == "application/json"
    assert 167 * 3600 < int(event[2]) <= 168 * 3600
    assert event[3] == "camera:door seq:7"
    assert ActionEvent.model_validate_json(event[4]) == action_event(7)


def test_a_rejected_subscription_is_named_however_soon_the_answer_comes(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the network thread may have it before the packet id is known."""

    def rejected_at_once(client: Any, topic: str, qos: int) -> tuple[int, int]:
        client.on_subscribe(client, None, 7, [ReasonCode(PacketTypes.SUBACK, "Not authorized")], None)
        return 0, 7

    connection, link = broker.link()
    monkeypatch.setattr(Client, "subscribe", rejected_at_once)
    link.subscribe("secret/#")
    assert connection.notes.get(timeout=PATIENCE_S) == SubscriptionRejected("secret/#", "Not authorized")
    connection.close()


@pytest.mark.parametrize("file", [b"right\n", BOM_UTF8 + b"right\r\n"])
def test_a_credential_password_is_used_and_never_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, file: bytes
) -> None:
    """Also as Windows saves it, with a byte-order mark."""
    (tmp_path / "passwords").touch()
    subprocess.run(["mosquitto_passwd", "-b", tmp_path / "passwords", "here", "right"], check=True)
    (tmp_path / "mqtt").write_bytes(file)
    (tmp_path / "wrong").write_text("secret-but-wrong")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    broker = Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {tmp_path}/passwords")
    try:
        for password, state in (("credential:mqtt", "connected"), ("wrong", "unauthorized")):
            url = f"mqtt://127.0.0.1:{broker.guarded_port}"
            config = BrokerConfig(url=url, username="here", password_file=password)
            access = broker_access(config, tmp_path)
            assert "right" not in repr(access)
            assert "secret" not in repr(access)
            connect = partial(Connection, config, "daemon", access)
            publisher = Publisher(BASE, "b007", Outbox(None, OutboxConfig()), connect, raise_failure)
            publisher.start()
            eventually(lambda: publisher.delivery.state == state, describe=lambda: publisher.delivery)  # noqa: B023
            publisher.stop()
            assert publisher.delivery.state == state
    finally:
        broker.stop()
    assert "secret" not in caplog.text
