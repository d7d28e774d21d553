"""A publisher whose connection is replaced, as a reload of the configuration does."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from edge_tdn.config.credentials import Access
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.mqtt import Connection, Inbox, Message
from edge_tdn.errors import ConfigError
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, DeliveryRecorder, StartPublisher, action_event
from tests.support.waiting import eventually


def test_nothing_is_lost_while_connections_are_replaced(start_publisher: StartPublisher, broker: Mosquitto) -> None:
    """Ten times, while events are sent."""
    recorder = DeliveryRecorder(broker.port)
    publisher = start_publisher(broker.config())
    publisher.announce({"homeassistant/a": b"1", f"{BASE}/b": b"2"}, "homeassistant/status")
    for number in range(10):
        for seq in range(20 * number + 1, 20 * number + 21):
            publisher.event(action_event(seq))
        assert publisher.last_seq("door") == 20 * number + 20, "includes events that are not stored yet"
        recorder.wait_for(
            lambda number=number: len(recorder.events()) > 20 * number and publisher.session == number + 1  # type: ignore[misc]
        )
        publisher.reconnect(lambda will, inbox: Connection(broker.config(), "daemon", None, will, inbox), False)
    recorder.wait_for(lambda: set(recorder.seqs()) == set(range(1, 201)))
    eventually(lambda: publisher.outbox_status.waiting == 0 and publisher.session == 11)
    publisher.announce({"homeassistant/a": b"1"}, "homeassistant/status")
    recorder.wait_for(lambda: recorder.last("b") == b"")
    states = [message.payload for message in recorder.below("availability")]
    assert states == [b"online", *[b"offline", b"online"] * 10]
    recorder.close()


def test_the_host_is_offline_while_the_new_password_is_wrong(
    start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path
) -> None:
    """One reload brings a password that the broker rejects, the next one the right password."""
    (tmp_path / "passwords").touch()
    subprocess.run(["mosquitto_passwd", "-b", tmp_path / "passwords", "here", "right"], check=True)
    broker.stop()
    broker.guard(f"password_file {tmp_path / 'passwords'}")
    broker.start()
    recorder = DeliveryRecorder(broker.port)
    url = f"mqtt://127.0.0.1:{broker.guarded_port}"
    config = BrokerConfig(url=url, username="here", password_file="passwords")
    publisher = start_publisher(config, Access("right"))
    publisher.event(action_event(1))
    recorder.wait_for(recorder.events)
    publisher.reconnect(lambda will, inbox: Connection(config, "daemon", Access("wrong"), will, inbox), False)
    recorder.wait_for(
        lambda: publisher.delivery.state == "unauthorized" and recorder.last("availability") == b"offline"
    )
    publisher.event(action_event(2))
    publisher.reconnect(lambda will, inbox: Connection(config, "daemon", Access("right"), will, inbox), False)
    recorder.wait_for(lambda: len(recorder.events()) == 2 and recorder.last("availability") == b"online")
    recorder.close()


def test_tls_files_that_are_invalid_for_a_moment_are_read_again(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    """A certificate is being renewed just when a reload reads it for the last time."""
    publisher, attempts = start_publisher(broker.config()), []

    def connect(will: Callable[[int], Message], inbox: Inbox) -> Connection:
        attempts.append(None)
        if len(attempts) < 3:
            raise ConfigError("ca.pem: not PEM")
        return Connection(broker.config(), "daemon", None, will, inbox)

    eventually(lambda: publisher.connected)
    publisher.reconnect(connect, False)
    eventually(lambda: publisher.delivery.state == "tls", describe=lambda: publisher.delivery)
    eventually(lambda: publisher.delivery.state == "connected", describe=lambda: publisher.delivery)
    assert len(attempts) == 3
