"""The publisher and a real broker: availability, retained states, events across an outage, replays."""

import json
import time
from pathlib import Path

import pytest

from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Connection, Message
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import ConnectionTiming, PublisherTiming
from edge_tdn.messages import ActionEvent, Reply
from edge_tdn.status_messages import Availability, CameraStatus, ConfigStatus, DaemonStatus
from edge_tdn.subscriber import Gap, HostMessage, Snapshot
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, MODEL, MOMENT, DeliveryRecorder, StartPublisher, action_event, camera_status
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.wire import Wire

QUICK_RETRY = ConnectionTiming(min_retry_s=0.2, max_retry_s=0.2)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_subscriber_receives_every_topic(protocol: str, start_publisher: StartPublisher, broker: Mosquitto) -> None:
    recorder = DeliveryRecorder(broker.port, protocol)
    publisher = start_publisher(broker.config(protocol))
    publisher.camera_status(camera_status())
    publisher.action("door", "left")
    publisher.event(action_event(1))
    recorder.wait_for(lambda: recorder.events() and recorder.last("door/status") and recorder.last("door/action"))
    assert recorder.events() == [action_event(1)]
    assert recorder.last("availability") == b"online"
    assert recorder.last("door/action") == b"left"
    assert CameraStatus.model_validate_json(recorder.last("door/status") or b"") == camera_status()
    eventually(lambda: publisher.outbox_status.waiting == 0)
    publisher.stop()
    recorder.wait_for(lambda: recorder.last("availability") == b"stopped")
    recorder.close()


def test_states_are_retained_and_events_never(start_publisher: StartPublisher, broker: Mosquitto) -> None:
    publisher = start_publisher(broker.config())
    early = DeliveryRecorder(broker.port)
    publisher.camera_status(camera_status())
    publisher.action("door", None)
    publisher.event(action_event(1))
    early.wait_for(early.events)
    early.close()
    late = DeliveryRecorder(broker.port)
    late.wait_for(lambda: late.last("availability") == b"online" and late.last("door/action"))
    assert late.last("door/action") == b"none"
    assert all(message.retained for message in late.messages)
    assert late.events() == []
    late.close()


def test_events_of_an_outage_arrive_in_order_when_it_is_over(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    recorder, wire = DeliveryRecorder(broker.port), Wire(broker.port)
    publisher = start_publisher(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}"))
    publisher.event(action_event(1))
    recorder.wait_for(lambda: len(recorder.events()) == 1 and publisher.outbox_status.waiting == 0)
    wire.cut()
    recorder.wait_for(lambda: recorder.last("availability") == b"offline")  # the last will
    for seq in range(2, 30):
        publisher.event(action_event(seq))
    eventually(lambda: publisher.outbox_status.waiting == 28 and not publisher.connected)
    wire.mend()
    recorder.wait_for(lambda: len(set(recorder.seqs())) == 29 and publisher.outbox_status.waiting == 0)
    assert recorder.seqs() == list(range(1, 30))
    assert recorder.last("availability") == b"online"
    publisher.stop()
    recorder.close()
    wire.close()


def test_a_broker_that_lost_its_retained_messages_gets_them_again(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    publisher = start_publisher(broker.config())
    publisher.camera_status(camera_status())
    eventually(lambda: publisher.connected)
    broker.stop()
    publisher.camera_status(camera_status("stalled"))
    broker.start()
    recorder = DeliveryRecorder(broker.port)
    recorder.wait_for(lambda: recorder.last("door/status") and recorder.last("availability") == b"online")
    assert CameraStatus.model_validate_json(recorder.last("door/status") or b"").state == "stalled"
    recorder.close()


def test_a_subscriber_counts_payloads_that_do_not_fit_their_schema(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    publisher = start_publisher(broker.config())
    subscriber = broker.subscriber("edge-tdn/+")
    connection, other = broker.link("other")
    for payload in (b"{", b"[]", b'{"type": "start"}', b"\xff" * 1000, b"[" * 100_000):
        other.publish(Message(f"{BASE}/door/events", payload))
    publisher.event(action_event(1))
    publisher.daemon_status(
        DaemonStatus(
            host="here",
            version="1",
            boot="b007",
            started_at=MOMENT,
            model=MODEL,
            device="CPU",
            cameras=["door"],
            session=1,
            delivery=publisher.delivery,
            outbox=publisher.outbox_status,
            config=ConfigStatus(state="in_force", reason="", since=MOMENT),
        )
    )
    received = set[type]()

    def all_received() -> bool:
        received.update(type(message.content) for message in subscriber.messages(0.2))
        return received >= {ActionEvent, DaemonStatus} and subscriber.invalid >= 5

    eventually(all_received, describe=lambda: (received, subscriber.invalid))
    assert received - {Availability} == {ActionEvent, DaemonStatus}
    assert subscriber.invalid == 5
    subscriber.close()
    connection.close()


def test_a_subscriber_of_cameras_receives_the_events_and_pictures_of_all_zones_on_the_cameras_topics(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    """One that does not know zones reads past them: it has nothing to reject, and no gap."""
    publisher = start_publisher(broker.config())
    subscriber = broker.subscriber("edge-tdn/+")
    recorder = DeliveryRecorder(broker.port)
    for seq, zone in ((1, "gate"), (2, "bed"), (3, None)):
        publisher.event(action_event(seq).model_copy(update={"zone": zone}))
    for camera_zone, label in (("gate", "left"), (None, "left"), ("bed", None)):
        publisher.action("door", label, camera_zone)
    publisher.snapshot("door", b"of the gate", "gate")
    publisher.snapshot("door", b"of the gate")
    recorder.wait_for(lambda: recorder.last("door/snapshot") and recorder.last("door/bed/action"))
    recorder.wait_for(lambda: len(recorder.below("door/events")) == 3)  # sent behind what was retained meanwhile
    assert [recorder.last(f"door/{place}action") for place in ("", "gate/", "bed/")] == [b"left", b"left", b"none"]
    assert recorder.last("door/gate/snapshot") == b"of the gate"
    raw = [json.loads(message.payload) for message in recorder.below("door/events")]
    assert [event.get("zone", "absent") for event in raw] == ["gate", "bed", "absent"]
    assert {event["schema"] for event in raw} == {1}
    received = list[HostMessage]()

    def all_received() -> bool:
        received.extend(subscriber.messages(0.2))
        kinds = [type(message.content) for message in received]
        return Snapshot in kinds and kinds.count(ActionEvent) == 3

    eventually(all_received, describe=lambda: received)
    events = [message.content for message in received if isinstance(message.content, ActionEvent)]
    assert [(event.seq, event.zone) for event in events] == [(1, "gate"), (2, "bed"), (3, None)]
    topics = [message.topic for message in received if isinstance(message.content, Snapshot)]
    assert topics == [f"{BASE}/door/snapshot"], "each picture once"
    assert subscriber.invalid == 0
    assert not any(isinstance(message.content, Gap) for message in received)
    subscriber.close()
    recorder.close()


def test_all_kept_events_are_replayed_before_the_reply(start_publisher: StartPublisher, broker: Mosquitto) -> None:
    publisher, recorder = start_publisher(broker.config()), DeliveryRecorder(broker.port)
    for seq in range(1, 2501):
        publisher.event(action_event(seq))
    recorder.wait_for(lambda: publisher.outbox_status.waiting == 0 and len(recorder.events()) == 2500)
    answer = Reply(command="replay", id="all", ok=True, error="", result={"camera": "door"})
    publisher.replay("door", 1, 2**63 - 1, answer)
    publisher.replay("door", 2499, 2600, answer)
    recorder.wait_for(lambda: len(recorder.below("reply")) == 2)
    replayed = [event.seq for event in recorder.events() if event.replayed]
    assert replayed == [*range(1, 2501), 2499, 2500]
    replies = [Reply.model_validate_json(message.payload) for message in recorder.below("reply")]
    assert [reply.result for reply in replies] == [
        {"camera": "door", "sent": 2500, "missing": 0},
        {"camera": "door", "sent": 2, "missing": 0},
    ]
    recorder.close()


def test_a_snapshot_that_is_too_large_for_the_line_does_not_hold_up_events(
    start_publisher: StartPublisher, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Sending it takes longer than two keepalives, so that the connection ends over it."""
    wire, recorder = Wire(broker.port), DeliveryRecorder(broker.port)
    wire.slow(0.0, 8_000)
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}", keepalive_s=2)
    publisher = start_publisher(config, connection_timing=QUICK_RETRY)
    publisher.snapshot("door", bytes(200_000))
    publisher.camera_status(camera_status())
    for seq in range(1, 6):
        publisher.event(action_event(seq))
        time.sleep(0.2)
    reason = "door/snapshot was rejected: too large for this broker or this line"
    recorder.wait_for(lambda: reason in caplog.text)
    publisher.event(action_event(6))
    recorder.wait_for(lambda: recorder.seqs()[-1:] == [6])
    assert list(dict.fromkeys(recorder.seqs())) == [1, 2, 3, 4, 5, 6]
    recorder.close()
    wire.close()


def test_a_removed_snapshot_stays_away_and_is_removed_once(start_publisher: StartPublisher, broker: Mosquitto) -> None:
    """When its camera is removed; also one that was never sent. Later connections do not remove it again."""
    wire = Wire(broker.port)
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}")
    publisher = start_publisher(config, connection_timing=QUICK_RETRY)
    publisher.snapshot("door", b"small")
    early = DeliveryRecorder(broker.port)
    early.wait_for(lambda: early.last("door/snapshot") == b"small")
    wire.cut()
    eventually(lambda: not publisher.connected)
    publisher.snapshot("door", bytes(100_000))  # large messages are sent last
    publisher.snapshot("door", b"")
    wire.mend()
    early.wait_for(lambda: early.last("door/snapshot") == b"")
    publisher.event(action_event(1))
    eventually(lambda: publisher.outbox_status.waiting == 0)  # the broker acknowledges in order: it has the removal
    late = DeliveryRecorder(broker.port)
    assert late.last("availability") == b"online"
    assert late.last("door/snapshot") is None
    before = publisher.session
    wire.sent.clear()
    wire.reset()
    eventually(lambda: publisher.session > before)
    publisher.event(action_event(2))
    late.wait_for(late.events)  # sent behind all retained messages
    assert b"door/snapshot" not in wire.sent
    early.close()
    late.close()
    wire.close()


def test_failed_thread_leaves_its_events_in_the_outbox_and_the_host_offline(broker: Mosquitto, tmp_path: Path) -> None:
    """A host that nothing serves must not stay `online`."""
    failures: list[BaseException] = []

    def fail_on_command(topic: str, payload: bytes) -> None:
        raise RuntimeError(topic)

    config, recorder = broker.config(), DeliveryRecorder(broker.port)
    publisher = Publisher(
        BASE,
        "b007",
        Outbox(tmp_path, OutboxConfig()),
        lambda will, inbox: Connection(config, "daemon", None, will, inbox),
        failures.append,
        fail_on_command,
    )
    publisher.start()
    recorder.wait_for(lambda: recorder.last("availability") == b"online")
    recorder.publish_below("cmd/replay", b"{}")
    try:
        recorder.wait_for(lambda: failures)
        for seq in range(1, 4):
            publisher.event(action_event(seq))
    finally:
        publisher.stop()
    recorder.wait_for(lambda: recorder.last("availability") == b"offline")
    recorder.close()
    assert [str(error) for error in failures] == ["replay"]
    outbox = Outbox(tmp_path, OutboxConfig())
    assert [entry.seq for entry in outbox.after(0, 9)] == [1, 2, 3]
    outbox.close()


def test_a_jumping_clock_moves_no_event(
    broker: Mosquitto, start_publisher: StartPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock jumps by a day, back, and by a year, while events are at most an hour old."""
    recorder, wire, jump_s = DeliveryRecorder(broker.port), Wire(broker.port), 0
    wall, wall_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: wall() + jump_s)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + jump_s * 10**9)
    wire.cut()
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}")
    publisher = start_publisher(config, outbox=Outbox(tmp_path / "outbox", OutboxConfig(max_age_h=1)))
    for number, jump_s in enumerate((0, 86_400, -86_400, 400 * 86_400)):  # noqa: B007  (the clock reads it)
        for seq in range(10 * number + 1, 10 * number + 11):
            publisher.event(action_event(seq))
        eventually(lambda count=10 * (number + 1): publisher.outbox_status.waiting == count)  # type: ignore[misc]
    wire.mend()
    recorder.wait_for(lambda: publisher.outbox_status.waiting == 0 and len(recorder.events()) == 40)
    assert recorder.seqs() == list(range(1, 41))
    assert publisher.outbox_status.dropped == 0
    recorder.close()
    wire.close()


def test_another_client_cannot_declare_a_running_daemon_offline(
    broker: Mosquitto, start_publisher: StartPublisher
) -> None:
    """The last will of an older connection, or the goodbye of a second daemon."""
    publisher = start_publisher(broker.config())
    eventually(lambda: publisher.connected)
    recorder = DeliveryRecorder(broker.port)
    recorder.wait_for(lambda: recorder.last("availability") == b"online")
    for state in (b"offline", b"stopped"):
        recorder.messages.clear()
        recorder.publish_below("availability", state)
        recorder.wait_for(lambda: recorder.last("availability") == b"online")
        assert [message.payload for message in recorder.below("availability")] == [state, b"online"]
    publisher.stop()
    recorder.synchronize()
    assert recorder.last("availability") == b"stopped"
    recorder.close()


def test_the_thread_sleeps_while_a_rejected_camera_has_no_events(
    broker: Mosquitto, start_publisher: StartPublisher, tmp_path: Path
) -> None:
    """They were dropped from the outbox when the next probe was due."""
    (tmp_path / "acl").write_text(f"topic write {BASE}/availability\n")
    with (tmp_path / "mosquitto.conf").open("a") as settings:
        settings.write(f"user root\nacl_file {tmp_path / 'acl'}\n")
    broker.stop()
    broker.start()
    age_s, ticks = [0.0], [0]

    class CountingOutbox(Outbox):
        def tick(self) -> None:
            ticks[0] += 1
            super().tick()

    outbox = CountingOutbox(None, OutboxConfig(max_age_h=1), lambda: age_s[0])
    timing = PublisherTiming(min_retry_s=0.2)
    publisher = start_publisher(broker.config(), outbox=outbox, timing=timing)
    publisher.event(action_event(1))
    eventually(lambda: publisher.delivery.state == "degraded", describe=lambda: publisher.delivery)
    age_s[0] += 3700
    eventually(lambda: publisher.outbox_status.dropped == 1)
    time.sleep(1.2 * timing.min_retry_s)  # a probe is due
    before = ticks[0]
    time.sleep(1)
    publisher.stop()
    assert ticks[0] - before < 20
    assert publisher.outbox_status.dropped == 1


def test_the_events_of_the_outbox_are_read_until_the_publisher_stops(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    publisher = start_publisher(broker.config())
    for seq in (1, 2, 3):
        publisher.event(action_event(seq))
    eventually(lambda: publisher.outbox_status.delivered == 3)
    entries = publisher.recent_events(3, "door", 9).result(PATIENCE_S)
    assert [ActionEvent.model_validate_json(entry.payload) for entry in entries] == [action_event(2), action_event(1)]
    publisher.stop()
    assert publisher.recent_events(None, None, 9).cancelled()
