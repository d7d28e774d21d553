"""To a real broker and back: availability, retained statuses, events across an outage."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config.tables import Access, BrokerConfig, OutboxConfig
from edge_tdn.delivery import publisher as publish
from edge_tdn.delivery.mqtt import Connected, Connection, Inbox, Lost, Message, Received
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.errors import ConfigError
from edge_tdn.messages import ActionEvent, CameraStatus, ConfigStatus, DaemonStatus, EventWindow, ModelRef, Reply
from tests.support.broker import Mosquitto
from tests.support.wire import Wire

BASE = "edge-tdn/here"
MOMENT = "2026-03-01T12:00:00.000Z"
PATIENCE_S = 60.0  # with what must come: the machine may be busy
REF = ModelRef(id="m", precision="fp32", sha256="0" * 64)


def event(seq: int) -> ActionEvent:
    return ActionEvent(
        id=f"here/door/b007/{seq}", seq=seq, type="start", host="here", camera="door", label="left", label_index=1,
        score=0.9, peak_score=0.9, started_at=MOMENT, model=REF,
        window=EventWindow(from_=MOMENT, to=MOMENT, frames=40, dropped=0),
    )  # fmt: skip


def status(state: str = "streaming") -> CameraStatus:
    return CameraStatus.model_validate(
        {"camera": "door", "state": state, "reason": "", "since": MOMENT, "fps": 30, "width": 640, "height": 480,
         "hop": 1, "latency_ms": 9, "clips": 3, "gated": 0, "shed": 0, "gaps": 0}
    )  # fmt: skip


def fail(error: BaseException) -> None:
    raise AssertionError from error


PublishTo = Callable[..., Publisher]


class Listener:
    """Everything under BASE, raw; what is retained there has come when it is returned."""

    def __init__(self, broker: Mosquitto, protocol: str = "5") -> None:
        self._connection = Connection(broker.config(protocol), f"listener-{time.monotonic_ns()}")
        self.heard: list[Received] = []
        self.until(lambda: self._echoed)

    _echoed = False

    def until(self, condition: Callable[[], bool], seconds: float = 0.0) -> None:
        """Within so many seconds, or PATIENCE_S, whichever is longer."""
        deadline = time.monotonic() + max(seconds, PATIENCE_S)
        while not condition():
            assert time.monotonic() < deadline, self.heard
            while not self._connection.notes.empty():
                match self._connection.notes.get():
                    case Received(topic) if topic == f"{BASE}/echo":
                        self._echoed = True
                    case Received() as message:
                        self.heard.append(message)
                    case Connected(link):
                        link.subscribe(f"{BASE}/#")
                        self._link = link
                        self.say("echo", b"")  # a broker does one thing after the other
            time.sleep(0.01)

    def say(self, topic: str, payload: bytes) -> None:
        self._link.publish(Message(f"{BASE}/{topic}", payload))

    def last(self, topic: str) -> bytes | None:
        return next((m.payload for m in reversed(self.heard) if m.topic == f"{BASE}/{topic}"), None)

    def events(self) -> list[ActionEvent]:
        return [ActionEvent.model_validate_json(m.payload) for m in self.heard if m.topic.endswith("/events")]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def publish_to() -> Iterator[PublishTo]:
    """publish_to(config) -> a started publisher, its outbox in memory, stopped when the test is over."""
    started: list[Publisher] = []

    def start(config: BrokerConfig, access: Access | None = None, **more: Any) -> Publisher:
        outbox = Outbox(None, OutboxConfig())
        publisher = Publisher(
            BASE, "b007", outbox, lambda will, inbox: Connection(config, "daemon", access, will, inbox), fail, **more
        )
        publisher.start()
        started.append(publisher)
        return publisher

    yield start
    for publisher in started:
        publisher.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_subscriber_hears_everything_on_its_topic(protocol: str, publish_to: PublishTo, broker: Mosquitto) -> None:
    listener = Listener(broker, protocol)
    publisher = publish_to(broker.config(protocol))
    publisher.camera_status(status())
    publisher.action("door", "left")
    publisher.event(event(1))
    listener.until(
        lambda: len(listener.events()) == 1 and None not in map(listener.last, ("door/status", "door/action"))
    )
    assert listener.events() == [event(1)]
    assert listener.last("availability") == b"online"
    assert listener.last("door/action") == b"left"
    assert CameraStatus.model_validate_json(listener.last("door/status") or b"") == status()
    listener.until(lambda: publisher.outbox_status.waiting == 0)
    publisher.stop()
    listener.until(lambda: listener.last("availability") == b"stopped")
    listener.close()


def test_states_are_retained_and_events_never(publish_to: PublishTo, broker: Mosquitto) -> None:
    publisher = publish_to(broker.config())
    early = Listener(broker)
    publisher.camera_status(status())
    publisher.action("door", None)
    publisher.event(event(1))
    early.until(lambda: len(early.events()) == 1)
    early.close()
    late = Listener(broker)
    late.until(lambda: late.last("availability") == b"online" and late.last("door/action") is not None)
    assert late.last("door/action") == b"none"
    assert all(message.retained for message in late.heard)
    assert late.events() == []
    late.close()


def test_events_of_an_outage_arrive_in_order_when_it_is_over(publish_to: PublishTo, broker: Mosquitto) -> None:
    listener, wire = Listener(broker), Wire(broker.port)
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}")
    publisher = publish_to(config)
    publisher.event(event(1))
    listener.until(lambda: len(listener.events()) == 1 and publisher.outbox_status.waiting == 0)
    wire.cut()
    listener.until(lambda: listener.last("availability") == b"offline")  # the last will
    for seq in range(2, 30):
        publisher.event(event(seq))
    listener.until(lambda: publisher.outbox_status.waiting == 28 and not publisher.connected)
    wire.mend()
    listener.until(lambda: len({e.seq for e in listener.events()}) == 29 and publisher.outbox_status.waiting == 0)
    assert [e.seq for e in listener.events()] == list(range(1, 30))
    assert listener.last("availability") == b"online"
    publisher.stop()
    listener.close()
    wire.close()


def test_a_broker_that_forgot_everything_is_told_again(publish_to: PublishTo, broker: Mosquitto) -> None:
    publisher = publish_to(broker.config())
    publisher.camera_status(status())
    while not publisher.connected:
        time.sleep(0.01)
    broker.stop()
    publisher.camera_status(status("stalled"))
    broker.start()
    late = Listener(broker)
    late.until(lambda: late.last("door/status") is not None and late.last("availability") == b"online")
    assert CameraStatus.model_validate_json(late.last("door/status") or b"").state == "stalled"
    late.close()


def test_a_refused_camera_whose_events_are_gone_does_not_keep_a_core_busy(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "AGAIN_S", (0.2, 30.0))
    (tmp_path / "acl").write_text(f"topic write {BASE}/availability\n")
    with (tmp_path / "mosquitto.conf").open("a") as settings:
        settings.write(f"user root\nacl_file {tmp_path / 'acl'}\n")
    broker.stop()
    broker.start()
    age_s, turns = [0.0], [0]

    class Counting(Outbox):
        def tick(self) -> None:
            turns[0] += 1
            super().tick()

    outbox = Counting(None, OutboxConfig(max_age_h=1), lambda: age_s[0])
    connect = lambda will, inbox: Connection(broker.config(), "daemon", None, will, inbox)  # noqa: E731
    publisher = Publisher(BASE, "b007", outbox, connect, fail)
    publisher.start()
    publisher.event(event(1))
    deadline = time.monotonic() + PATIENCE_S
    while publisher.delivery.state != "degraded" and time.monotonic() < deadline:
        time.sleep(0.05)
    age_s[0] += 3700
    while publisher.outbox_status.dropped == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.2 * publish.AGAIN_S[0])  # it is due to be tried again
    before = turns[0]
    time.sleep(1)
    publisher.stop()
    assert turns[0] - before < 20
    assert publisher.outbox_status.dropped == 1


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who would wait for a broker, for as long as is allowed, waits for ever."""
    monkeypatch.setattr("edge_tdn.delivery.publisher.GOODBYE_S", 3600.0)
    for name in ("CONNECT_S", "ANSWER_S"):
        monkeypatch.setattr(f"edge_tdn.delivery.mqtt.{name}", 3600.0)
    monkeypatch.setattr("edge_tdn.delivery.mqtt.RETRY_S", (3600.0, 3600.0))


@pytest.mark.usefixtures("endless")
def test_without_a_broker_stopping_takes_no_time(
    publish_to: PublishTo, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_tdn.delivery.mqtt.CLOSE_S", 3600.0)
    publisher = publish_to(BrokerConfig(url="mqtt://127.0.0.1:1"))
    publisher.event(event(1))
    wait(lambda: "unreachable" in caplog.text)
    publisher.stop()
    assert not publisher.connected


def test_a_subscriber_counts_what_does_not_fit_its_schema(publish_to: PublishTo, broker: Mosquitto) -> None:
    publisher = publish_to(broker.config())
    subscriber = broker.subscriber("edge-tdn/+")
    connection, other = broker.link("other")
    for payload in (b"{", b"[]", b'{"type": "start"}', b"\xff" * 1000, b"[" * 100_000):
        other.publish(Message(f"{BASE}/door/events", payload))
    publisher.event(event(1))
    publisher.daemon_status(
        DaemonStatus(
            host="here",
            version="1",
            boot="b",
            started_at=MOMENT,
            model=REF,
            device="CPU",
            cameras=["door"],
            session=1,
            delivery=publisher.delivery,
            outbox=publisher.outbox_status,
            config=ConfigStatus(state="in_force", reason="", since=MOMENT),
        )
    )
    heard = []
    deadline = time.monotonic() + PATIENCE_S
    while len(heard) < 2 and time.monotonic() < deadline:
        heard += list(subscriber.messages(0.2))
    assert {type(message.said) for message in heard} == {ActionEvent, DaemonStatus}
    assert subscriber.invalid == 5
    subscriber.close()
    connection.close()


@pytest.mark.usefixtures("endless")
def test_a_broker_that_accepts_and_never_answers_does_not_delay_the_stop(publish_to: PublishTo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publisher = publish_to(BrokerConfig(url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}"))
        silent.settimeout(PATIENCE_S)
        connected, _ = silent.accept()
        assert connected.recv(1)  # of its CONNECT
        publisher.stop()
        connected.close()


@pytest.mark.usefixtures("endless")
def test_a_broker_that_does_not_even_accept_does_not_delay_the_stop(
    publish_to: PublishTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects, connect = threading.Event(), socket.create_connection

    def listed(*arguments: Any, **more: Any) -> socket.socket:
        connects.set()
        return connect(*arguments, **more)

    monkeypatch.setattr(socket, "create_connection", listed)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the queue of connections is full: the next one waits for an answer
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        publisher = publish_to(BrokerConfig(url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}"))
        assert connects.wait(PATIENCE_S)
        publisher.stop()
        for filler in fillers:
            filler.close()


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_why_there_is_no_connection_is_said(publish_to: PublishTo, caplog: pytest.LogCaptureFixture) -> None:
    publish_to(BrokerConfig(url="mqtt://127.0.0.1:1"))
    wait(lambda: "broker=127.0.0.1:1 unreachable: Connection refused" in caplog.text)


def test_all_that_is_kept_is_replayed_before_the_answer(publish_to: PublishTo, broker: Mosquitto) -> None:
    publisher, listener = publish_to(broker.config()), Listener(broker)
    for seq in range(1, 2501):
        publisher.event(event(seq))
    listener.until(lambda: publisher.outbox_status.waiting == 0 and len(listener.events()) == 2500)
    answer = Reply(command="replay", id="all", ok=True, error="", result={"camera": "door"})
    publisher.replay("door", 1, 2**63 - 1, answer)
    publisher.replay("door", 2499, 2600, answer)
    listener.until(lambda: sum(m.topic == f"{BASE}/reply" for m in listener.heard) == 2)
    again = [e.seq for e in listener.events() if e.replayed]
    assert again == [*range(1, 2501), 2499, 2500]
    replies = [Reply.model_validate_json(m.payload) for m in listener.heard if m.topic == f"{BASE}/reply"]
    assert [reply.result for reply in replies] == [
        {"camera": "door", "sent": 2500, "missing": 0}, {"camera": "door", "sent": 2, "missing": 0},
    ]  # fmt: skip
    listener.close()


def test_a_picture_that_is_too_large_for_the_line_does_not_hold_events_up(
    publish_to: PublishTo, broker: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than two keepalives."""
    monkeypatch.setattr("edge_tdn.delivery.mqtt.RETRY_S", (0.2, 0.2))
    wire, listener = Wire(broker.port), Listener(broker)
    wire.slow(0.0, 8_000)
    publisher = publish_to(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}", keepalive_s=2))
    publisher.snapshot("door", bytes(200_000))
    publisher.camera_status(status())
    for seq in range(1, 6):
        publisher.event(event(seq))
        time.sleep(0.2)
    listener.until(lambda: "door/snapshot: 200000 bytes, given up: the line is too slow" in caplog.text)
    publisher.event(event(6))
    listener.until(lambda: [e.seq for e in listener.events()][-1:] == [6])
    assert list(dict.fromkeys(e.seq for e in listener.events())) == [1, 2, 3, 4, 5, 6]
    listener.close()
    wire.close()


def test_what_a_thread_that_failed_left_is_in_the_outbox(broker: Mosquitto, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def stumble(topic: str, payload: bytes) -> None:
        raise RuntimeError(topic)

    config, listener = broker.config(), Listener(broker)
    outbox = Outbox(tmp_path, OutboxConfig())
    publisher = Publisher(
        BASE, "b007", outbox, lambda will, inbox: Connection(config, "daemon", None, will, inbox),
        failures.append, stumble,
    )  # fmt: skip
    publisher.start()
    listener.until(lambda: listener.last("availability") == b"online")
    listener.say("cmd/replay", b"{}")
    try:
        listener.until(lambda: bool(failures))
        for seq in range(1, 4):
            publisher.event(event(seq))
    finally:
        publisher.stop()
        listener.close()
    again = Outbox(tmp_path, OutboxConfig())
    assert [entry.seq for entry in again.after(0, 9)] == [1, 2, 3]
    again.close()


def test_another_connection_takes_over_and_nothing_is_lost(publish_to: PublishTo, broker: Mosquitto) -> None:
    """Ten times, while events go out."""
    listener = Listener(broker)
    publisher = publish_to(broker.config())
    publisher.announce({"homeassistant/a": b"1", f"{BASE}/b": b"2"}, "homeassistant/status")
    for number in range(10):
        for seq in range(20 * number + 1, 20 * number + 21):
            publisher.event(event(seq))
        assert publisher.last_seq("door") == 20 * number + 20, "also those that no disk has seen yet"
        listener.until(
            lambda number=number: len(listener.events()) > 20 * number and publisher.session == number + 1  # type: ignore[misc]
        )
        publisher.reconnect(lambda will, inbox: Connection(broker.config(), "daemon", None, will, inbox), False)
    listener.until(lambda: {event.seq for event in listener.events()} == set(range(1, 201)))
    listener.until(lambda: publisher.outbox_status.waiting == 0 and publisher.session == 11)
    publisher.announce({"homeassistant/a": b"1"}, "homeassistant/status")
    listener.until(lambda: listener.last("b") == b"")
    said = [message.payload for message in listener.heard if message.topic == f"{BASE}/availability"]
    assert said == [b"online", *[b"offline", b"online"] * 10]
    listener.close()


def test_who_is_let_in_no_more_is_offline_until_he_is(publish_to: PublishTo, broker: Mosquitto, tmp_path: Path) -> None:
    """A reload brought a password that the broker refuses, the next one the right one."""
    (tmp_path / "passwords").touch()
    subprocess.run(["mosquitto_passwd", "-b", tmp_path / "passwords", "here", "right"], check=True)
    broker.stop()
    broker.guard(f"password_file {tmp_path / 'passwords'}")
    broker.start()
    listener = Listener(broker)
    url = f"mqtt://127.0.0.1:{broker.guarded_port}"
    config = BrokerConfig(url=url, username="here", password_file="passwords")
    publisher = publish_to(config, Access("right"))
    publisher.event(event(1))
    listener.until(lambda: len(listener.events()) == 1)
    publisher.reconnect(lambda will, inbox: Connection(config, "daemon", Access("wrong"), will, inbox), False)
    listener.until(lambda: publisher.delivery.state == "unauthorized" and listener.last("availability") == b"offline")
    publisher.event(event(2))
    publisher.reconnect(lambda will, inbox: Connection(config, "daemon", Access("right"), will, inbox), False)
    listener.until(lambda: len(listener.events()) == 2 and listener.last("availability") == b"online")
    listener.close()


def test_files_that_are_wrong_for_a_moment_are_tried_again(publish_to: PublishTo, broker: Mosquitto) -> None:
    """A certificate that is being renewed just when a reload reads it for the last time."""
    listener, publisher = Listener(broker), publish_to(broker.config())
    tries = []

    def connect(will: Callable[[int], Message], inbox: Inbox) -> Connection:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise ConfigError("ca.pem: no PEM")
        return Connection(broker.config(), "daemon", None, will, inbox)

    listener.until(lambda: publisher.connected)
    publisher.reconnect(connect, False)
    listener.until(lambda: publisher.delivery.state == "tls")
    listener.until(lambda: publisher.delivery.state == "connected")
    assert len(tries) == 3
    listener.close()


def test_what_is_taken_from_the_broker_stays_away_and_is_told_once(
    publish_to: PublishTo, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a removed camera: its picture, also one that was never sent; and the broker hears of it no more."""
    monkeypatch.setattr("edge_tdn.delivery.mqtt.RETRY_S", (0.2, 0.2))
    wire = Wire(broker.port)
    publisher = publish_to(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}"))
    publisher.snapshot("door", b"small")
    early = Listener(broker)
    early.until(lambda: early.last("door/snapshot") == b"small")
    wire.cut()
    early.until(lambda: not publisher.connected)
    publisher.snapshot("door", bytes(100_000))  # these are sent last
    publisher.snapshot("door", b"")
    wire.mend()
    early.until(lambda: early.last("door/snapshot") == b"")
    early.until(lambda: not (publisher._unsent or publisher._large or publisher._on_their_way))
    late = Listener(broker)
    late.until(lambda: late.last("availability") == b"online")
    assert late.last("door/snapshot") is None
    before = publisher.session
    wire.said.clear()
    wire.reset()
    late.until(lambda: publisher.session > before)
    publisher.event(event(1))
    late.until(lambda: len(late.events()) == 1)  # behind all that is retained
    assert b"door/snapshot" not in wire.said
    early.close()
    late.close()
    wire.close()


def test_who_is_closed_before_a_name_is_resolved_says_nothing(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take over the session of the connection that has come in its place."""
    asked, answer, resolve = threading.Event(), threading.Event(), socket.getaddrinfo

    def slow(*arguments: Any, **more: Any) -> Any:
        asked.set()
        answer.wait(PATIENCE_S)
        return resolve(*arguments, **more)

    wire = Wire(broker.port)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    connection = Connection(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}"), "daemon")
    assert asked.wait(PATIENCE_S)
    connection.close()
    answer.set()
    lost = connection.notes.get(timeout=PATIENCE_S)
    assert isinstance(lost, Lost), lost
    assert not wire.said
    assert connection.notes.empty()
    wire.close()
