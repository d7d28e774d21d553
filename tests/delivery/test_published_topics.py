"""The retained messages at a real broker after the configuration of a host has changed."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery import topic_record
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.delivery.outbox.folder import lock_folder
from edge_tdn.delivery.published_topics import PublishedTopics, removal_order
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.recorded_topics import RecordedTopics
from edge_tdn.delivery.timing import ConnectionTiming, PublisherTiming
from edge_tdn.delivery.topic_record import RECORD, TopicRecord
from edge_tdn.status_messages import DaemonStatus
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, DeliveryRecorder, StartPublisher, action_event, camera_status
from tests.support.model_broker import Host, ModelBroker
from tests.support.retained import RetainedStates, daemon_status, retained_topics
from tests.support.scripted_broker import CONNACK_5, ScriptedBroker, is_connect, is_publish, puback, topic_of
from tests.support.waiting import eventually

OWN = {f"{BASE}/availability", f"{BASE}/status"}
DOCUMENT = "homeassistant/device/edge-tdn_here/config"
QUICK_RETRY = ConnectionTiming(min_retry_s=0.1, max_retry_s=0.1)


def of_zone(camera: str, zone: str, base: str = BASE) -> set[str]:
    return {f"{base}/{camera}/{zone}/{name}" for name in ("action", "snapshot")}


def of_camera(camera: str, base: str = BASE) -> set[str]:
    return {f"{base}/{camera}/{name}" for name in ("action", "snapshot", "status")}


@pytest.fixture
def machine_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the id of this machine; a container may have none."""
    file = tmp_path / "machine-id"
    file.write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setattr(topic_record, "MACHINE_ID", file)
    return file


def publish(
    publisher: Publisher, *cameras: str, documents: tuple[str, ...] = (), zones: tuple[tuple[str, str], ...] = ()
) -> None:
    """Publish everything that a configuration with these cameras and zones (camera, zone) retains."""
    publisher.announce(dict.fromkeys(documents, b"{}"), "homeassistant/status", cameras, snapshots=True, zones=zones)
    for camera, zone in zones:
        publisher.action(camera, "right", zone)
        publisher.snapshot(camera, b"jpeg of a zone", zone)
    for camera in cameras:
        publisher.camera_status(camera_status().model_copy(update={"camera": camera}))
        publisher.action(camera, "left")
        publisher.snapshot(camera, b"jpeg")
    publisher.daemon_status(DaemonStatus.model_validate_json(daemon_status(*cameras, boot="b007")))


def wait_for(broker: Mosquitto, topics: set[str]) -> None:
    eventually(lambda: retained_topics(broker.port) == topics, describe=lambda: retained_topics(broker.port))


@pytest.fixture
def second_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "second"
    folder.mkdir()
    broker = Mosquitto(folder)
    yield broker
    broker.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_next_start_removes_what_the_configuration_no_longer_has(
    protocol: str, start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path
) -> None:
    """First a camera and a document leave, then the topic prefix changes. What others retain stays."""
    others = RetainedStates(broker)
    others.leave_on({"edge-tdn/attic/status": b"{}", f"{BASE}/note": b"from the user"})
    foreign = {"edge-tdn/attic/status", f"{BASE}/note"}
    first = start_publisher(broker.config(protocol), record=TopicRecord(tmp_path))
    publish(first, "door", "yard", documents=(DOCUMENT,))
    wait_for(broker, OWN | of_camera("door") | of_camera("yard") | {DOCUMENT} | foreign)
    first.stop()
    second = start_publisher(broker.config(protocol), record=TopicRecord(tmp_path))
    publish(second, "door")
    wait_for(broker, OWN | of_camera("door") | foreign)
    second.stop()
    third = start_publisher(broker.config(protocol), base="home", record=TopicRecord(tmp_path))
    publish(third, "door")
    wait_for(broker, {"home/availability", "home/status"} | of_camera("door", "home") | foreign)
    others.close()


def test_a_reload_removes_a_camera_that_was_never_published_to_this_broker(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    """The broker is away when the camera is removed."""
    broker.stop()
    publisher = start_publisher(broker.config(), connection_timing=QUICK_RETRY)
    publish(publisher, "door", "yard", documents=(DOCUMENT,))
    publish(publisher, "door")
    broker.start()
    wait_for(broker, OWN | of_camera("door"))


@pytest.mark.parametrize("restart", [True, False])
def test_a_zone_that_leaves_takes_its_topics_along(
    restart: bool, start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path
) -> None:
    """Those of its camera, of other zones and of a camera with the zone's name stay."""
    publisher = start_publisher(broker.config(), record=TopicRecord(tmp_path))
    gates = (("door", "gate"), ("yard", "gate"))
    publish(publisher, "door", "yard", "bed", zones=(*gates, ("door", "bed")))
    cameras = OWN | of_camera("door") | of_camera("yard") | of_camera("bed")
    staying = cameras | of_zone("door", "gate") | of_zone("yard", "gate")
    wait_for(broker, staying | of_zone("door", "bed"))
    if restart:
        publisher.stop()
        publisher = start_publisher(broker.config(), record=TopicRecord(tmp_path))
    publish(publisher, "door", "yard", "bed", zones=gates)
    wait_for(broker, staying)
    publish(publisher, "yard", "bed", zones=gates[1:])
    wait_for(broker, OWN | of_camera("yard") | of_camera("bed") | of_zone("yard", "gate"))
    publisher.announce({}, "homeassistant/status", ["yard"], snapshots=False, zones=gates[1:])
    wait_for(broker, OWN | {f"{BASE}/yard/{name}" for name in ("action", "status", "gate/action")})


def test_a_reload_removes_each_topic_once(start_publisher: StartPublisher, broker: Mosquitto) -> None:
    """With a connection, and at the next one without."""
    publisher = start_publisher(broker.config(), connection_timing=QUICK_RETRY)
    recorder = DeliveryRecorder(broker.port)
    publish(publisher, "door", "yard", "shed")
    recorder.wait_for(lambda: recorder.last("shed/snapshot"))
    publish(publisher, "door", "yard")
    wait_for(broker, OWN | of_camera("door") | of_camera("yard"))
    publish(publisher, "door")
    wait_for(broker, OWN | of_camera("door"))
    publisher.event(action_event(1))
    recorder.wait_for(lambda: recorder.events())
    removals = [message.topic for message in recorder.messages if not message.payload]
    assert sorted(removals) == sorted(of_camera("yard") | of_camera("shed"))
    recorder.close()


def test_a_rejected_removal_at_a_reload_is_a_warning(
    start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker's rules allow the topics of a camera no longer, then it leaves."""
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite #\n")
    rules.chmod(0o600)
    broker.stop()
    broker.guard(f"allow_anonymous true\nacl_file {rules}")
    broker.start()
    url = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.guarded_port}")
    publisher = start_publisher(url, connection_timing=QUICK_RETRY)
    publish(publisher, "door", "yard")
    wait_for(broker, OWN | of_camera("door") | of_camera("yard"))
    rules.write_text(f"topic read #\ntopic write {BASE}/+\ntopic write {BASE}/door/#\n")
    broker.process.send_signal(signal.SIGHUP)

    def is_denied() -> bool:
        publisher.action("yard", "right")
        return publisher.delivery.state == "degraded"

    eventually(is_denied)
    publish(publisher, "door")
    eventually(
        lambda: all(f"{topic} stays at the broker" in caplog.text for topic in of_camera("yard")),
        describe=lambda: caplog.text,
    )
    publisher.event(action_event(1))
    eventually(
        lambda: publisher.outbox_status.waiting == 0 and publisher.delivery.state == "connected",
        describe=lambda: publisher.delivery,
    )


def test_topics_are_removed_only_from_the_broker_that_holds_them(
    start_publisher: StartPublisher, broker: Mosquitto, second_broker: Mosquitto, tmp_path: Path
) -> None:
    others = RetainedStates(second_broker)
    others.leave(BASE, yard__status=b"of another host")
    first = start_publisher(broker.config(), record=TopicRecord(tmp_path))
    publish(first, "door", "yard")
    wait_for(broker, OWN | of_camera("door") | of_camera("yard"))
    first.stop()
    second = start_publisher(second_broker.config(), record=TopicRecord(tmp_path))
    publish(second, "door")
    wait_for(second_broker, OWN | of_camera("door") | {f"{BASE}/yard/status"})
    second.stop()
    third = start_publisher(broker.config(), record=TopicRecord(tmp_path))
    publish(third, "door")
    wait_for(broker, OWN | of_camera("door"))
    others.close()


def test_a_reload_to_another_broker_leaves_only_the_goodbye_at_the_one_before(
    start_publisher: StartPublisher, broker: Mosquitto, second_broker: Mosquitto
) -> None:
    everything = OWN | of_camera("door") | {DOCUMENT}
    publisher = start_publisher(broker.config())
    publish(publisher, "door", documents=(DOCUMENT,))
    wait_for(broker, everything)
    publisher.reconnect(lambda will, inbox: Connection(second_broker.config(), "x", None, will, inbox), True)
    wait_for(second_broker, everything)
    wait_for(broker, {f"{BASE}/availability"})
    recorder = DeliveryRecorder(broker.port)
    recorder.wait_for(lambda: recorder.last("availability") == b"stopped")
    recorder.close()
    publisher.reconnect(lambda will, inbox: Connection(broker.config(), "x", None, will, inbox), True)
    wait_for(broker, everything)


@pytest.mark.usefixtures("machine_id")
def test_a_renamed_host_removes_what_it_published_under_its_earlier_name(
    start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path
) -> None:
    """Recognised by its configuration file. The topics of a host that is running, or of another file, stay."""
    state, site = tmp_path / "state", tmp_path / "site.toml"
    kept = set[str]()
    for host, file in (("here", "site.toml"), ("running", "site.toml"), ("other", "other.toml")):
        (state / host).mkdir(parents=True)
        record = TopicRecord(state / host, tmp_path / file, state)
        publisher = start_publisher(broker.config(), base=f"edge-tdn/{host}", record=record)
        publish(publisher, "door")
        own = {f"edge-tdn/{host}/availability", f"edge-tdn/{host}/status"} | of_camera("door", f"edge-tdn/{host}")
        eventually(lambda own=own: own <= retained_topics(broker.port))  # type: ignore[misc]
        publisher.stop()
        kept |= own if host != "here" else set()
        if host == "here":
            (state / host / RECORD).rename(tmp_path / "hidden")  # from the two that follow
    (tmp_path / "hidden").rename(state / "here" / RECORD)
    lock = lock_folder(state / "running")
    assert lock
    (state / "there").mkdir()
    renamed = start_publisher(broker.config(), base="edge-tdn/there", record=TopicRecord(state / "there", site, state))
    publish(renamed, "door")
    there = {"edge-tdn/there/availability", "edge-tdn/there/status"} | of_camera("door", "edge-tdn/there")
    wait_for(broker, there | kept)
    assert not (state / "here" / RECORD).exists()
    lock.close()


@pytest.mark.usefixtures("machine_id")
def test_a_configuration_file_whose_path_is_not_utf_8_is_recognised(
    start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path
) -> None:
    state, site = tmp_path / "state", tmp_path / os.fsdecode(b"caf\xe9") / "site.toml"
    for host in ("here", "there"):
        (state / host).mkdir(parents=True)
        record = TopicRecord(state / host, site, state)
        publisher = start_publisher(broker.config(), base=f"edge-tdn/{host}", record=record)
        publish(publisher, "door")
        own = {f"edge-tdn/{host}/availability", f"edge-tdn/{host}/status"} | of_camera("door", f"edge-tdn/{host}")
        wait_for(broker, own)
        publisher.stop()


@pytest.mark.parametrize("is_empty", [True, False])
def test_without_a_machine_id_the_record_of_another_host_is_never_taken_over(
    is_empty: bool, machine_id: Path, tmp_path: Path
) -> None:
    """Two containers have their configuration at the same path, and share the volume with their outboxes."""
    if is_empty:
        machine_id.write_text("")
    else:
        machine_id.unlink()
    state, site, topics = tmp_path / "state", tmp_path / "site.toml", {"broker:1883": {"edge-tdn/attic/status"}}
    for host in ("attic", "barn"):
        (state / host).mkdir(parents=True)
    attic, barn = (TopicRecord(state / host, site, state) for host in ("attic", "barn"))
    attic.write(topics)
    assert barn.read() == {}
    barn.write({})
    assert attic.read() == topics


def test_topics_that_cannot_be_recorded_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published = PublishedTopics(RecordedTopics(TopicRecord(tmp_path)))
    published.configure({"not UTF-8: \udce9"})
    published.connected("broker:1883")
    assert "retained topics: " in caplog.text
    assert "surrogates not allowed" in caplog.text


def test_a_rejected_removal_is_reported_and_tried_again_at_the_next_start(
    start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker lets the host write below its new prefix only."""
    first = start_publisher(broker.config(), record=TopicRecord(tmp_path))
    publish(first, "door")
    old = OWN | of_camera("door")
    wait_for(broker, old)
    first.stop()
    rules = tmp_path / "rules"
    rules.write_text("topic read #\ntopic write home/#\n")
    rules.chmod(0o600)
    broker.stop()
    broker.guard(f"allow_anonymous true\nacl_file {rules}")
    broker.start()
    wait_for(broker, set())  # this broker keeps nothing across a restart
    states = RetainedStates(broker)
    states.leave_on(dict.fromkeys(old, b"old"))
    record = TopicRecord(tmp_path)
    known = record.read()
    record.write({f"127.0.0.1:{broker.guarded_port}": known[f"127.0.0.1:{broker.port}"]})
    guarded = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.guarded_port}")
    second = start_publisher(guarded, base="home", record=TopicRecord(tmp_path))
    publish(second, "door")
    second.event(action_event(1))
    new = {"home/availability", "home/status"} | of_camera("door", "home")
    eventually(
        lambda: all(f"{topic} stays at the broker" in caplog.text for topic in old), describe=lambda: caplog.text
    )
    eventually(lambda: second.outbox_status.waiting == 0 and second.delivery.state == "connected")
    assert retained_topics(broker.port) == old | new
    second.stop()
    broker.stop()
    rules.write_text("topic readwrite #\n")
    broker.start()
    states.close()
    states = RetainedStates(broker)
    states.leave_on(dict.fromkeys(old, b"old"))
    third = start_publisher(guarded, base="home", record=TopicRecord(tmp_path))
    publish(third, "door")
    wait_for(broker, new)
    states.close()


def test_removals_over_which_the_broker_ends_the_connection_do_not_stop_events(
    start_publisher: StartPublisher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    delivered = []

    def ends_over_old_topics(client: socket.socket, first: int, body: bytes) -> bool:
        if is_connect(first):
            client.sendall(CONNACK_5)
        if is_publish(first):
            if topic_of(body).startswith("old/"):
                return False
            delivered.append(topic_of(body))
            client.sendall(puback(body))
        return True

    with closing(ScriptedBroker(ends_over_old_topics)) as broker:
        record = TopicRecord(tmp_path)
        record.write({f"127.0.0.1:{broker.port}": {f"old/{number}" for number in range(20)}})
        url = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.port}")
        publisher = start_publisher(url, record=record, connection_timing=QUICK_RETRY)
        publish(publisher, "door")
        eventually(lambda: "the broker ends the connection over their removal" in caplog.text)
        for seq in range(1, 21):
            publisher.event(action_event(seq))
        eventually(lambda: delivered.count(f"{BASE}/door/events") >= 20, describe=lambda: publisher.delivery)
        eventually(lambda: publisher.delivery.state == "connected" and publisher.outbox_status.waiting == 0)
        assert publisher.connects == 3


def published_before(*topics: str) -> PublishedTopics:
    """Return the topics of a host that has published these at the broker "here", and has none any more."""
    published = PublishedTopics()
    published.configure(topics)
    published.connected("here")
    published.disconnected(blame=False)
    published.configure(())
    return published


def test_a_connection_that_the_broker_ends_with_a_reason_did_not_end_over_a_removal() -> None:
    host = Host(ModelBroker(10**6, silent=frozenset(["old"])))
    host.outgoing.published = published = published_before("old")
    for _ in range(5):
        published.connected("here")
        host.connect()
        host.run(host.connections, for_s=1)
        assert [message.topic for message in host.in_flight.messages] == ["old"]
        host.outgoing.disconnected(blame=False)
        host.uplink.connection_lost()


def test_an_accepted_removal_and_another_broker_end_the_count_of_lost_connections() -> None:
    published = published_before("a", "b", "c")
    published.connected("here")
    assert published.next_removal()
    assert not published.disconnected(blame=True)
    published.connected("here")
    removal = published.next_removal()
    assert removal
    published.answered(removal, None)
    assert published.next_removal()
    assert not published.disconnected(blame=True), "the first since one was accepted"
    published.connected("here")
    assert published.next_removal()
    assert published.disconnected(blame=True)
    published.connected("here")
    assert not published.has_removals
    published.disconnected(blame=True)
    published.connected("elsewhere")
    published.disconnected(blame=True)
    published.connected("here")
    assert published.has_removals


def test_a_rejected_removal_is_sent_again_on_the_next_connection_only() -> None:
    published = published_before("a")
    published.connected("here")
    removal = published.next_removal()
    assert removal
    published.answered(removal, "Not authorized")
    published.configure(["b"])
    published.tick()
    assert not published.has_removals
    published.disconnected(blame=False)
    published.connected("here")
    assert published.has_removals


def test_a_disk_that_refuses_is_tried_again_ever_less_often(tmp_path: Path) -> None:
    now_s, folder = 100.0, tmp_path / "unmounted"
    topics = RecordedTopics(TopicRecord(folder), PublisherTiming(min_retry_s=1, max_retry_s=30), lambda: now_s)
    for wait_s in (1, 2, 4, 8, 16, 30, 30):
        topics.synchronise("here")  # refused
        folder.mkdir()
        now_s += wait_s - 0.5
        topics.synchronise("here")
        assert not topics.is_read
        folder.rmdir()
        now_s += 0.5
    folder.mkdir()
    topics.synchronise("here")
    assert topics.is_read
    shutil.rmtree(folder)
    topics.add("here", {"a"})
    topics.synchronise("here")
    folder.mkdir()
    topics.synchronise("here")
    assert not (folder / RECORD).exists()
    now_s += 1
    topics.synchronise("here")
    assert TopicRecord(folder).read() == {"here": {"a"}}


def test_a_host_whose_topics_another_client_removes_restores_them(
    start_publisher: StartPublisher, broker: Mosquitto
) -> None:
    """Two hosts have swapped their names: the other one removes what it published under this one."""
    publisher = start_publisher(broker.config())
    publish(publisher, "door", documents=(DOCUMENT,))
    everything = OWN | of_camera("door") | {DOCUMENT}
    wait_for(broker, everything)
    recorder, states = DeliveryRecorder(broker.port), RetainedStates(broker)
    states.leave_on(dict.fromkeys(removal_order(everything), b""))
    recorder.wait_for(lambda: b"" in [one.payload for one in recorder.below("door/snapshot")])
    wait_for(broker, everything)
    recorder.close()
    states.close()


def test_a_record_that_cannot_be_read_yet_is_read_later_and_never_overwritten(
    start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk with the record is not mounted when the daemon starts."""
    folder, unmounted = tmp_path / "outbox", tmp_path / "unmounted"
    folder.mkdir()
    first = start_publisher(broker.config(), record=TopicRecord(folder))
    publish(first, "door", "yard")
    wait_for(broker, OWN | of_camera("door") | of_camera("yard"))
    first.stop()
    folder.rename(unmounted)
    second = start_publisher(broker.config(), record=TopicRecord(folder))
    publish(second, "door")
    eventually(lambda: "retained topics: " in caplog.text)
    unmounted.rename(folder)
    wait_for(broker, OWN | of_camera("door"))
    eventually(lambda: "yard" not in (folder / RECORD).read_text())
    assert caplog.text.count("retained topics: ") == 1


def test_a_flipped_bit_in_the_record_removes_no_topic_of_another_host(tmp_path: Path) -> None:
    record = TopicRecord(tmp_path)
    record.write({"broker:1883": {"edge-tdn/attic/status"}})
    content = (tmp_path / RECORD).read_bytes()
    assert record.read() == {"broker:1883": {"edge-tdn/attic/status"}}
    for changed in (b"edge-tdn/ettic/status", b"edge-tdn/+/status"):
        (tmp_path / RECORD).write_bytes(content.replace(b"edge-tdn/attic/status", changed))
        assert record.read() == {}


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"brokers": 3}', b'{"brokers": {"x": [1]}}', b"[" * 100_000])
def test_a_damaged_record_removes_nothing_and_is_replaced(
    content: bytes, start_publisher: StartPublisher, broker: Mosquitto, tmp_path: Path
) -> None:
    (tmp_path / RECORD).write_bytes(content)
    publisher = start_publisher(broker.config(), record=TopicRecord(tmp_path))
    publish(publisher, "door")
    wait_for(broker, OWN | of_camera("door"))
    expected = {f"127.0.0.1:{broker.port}": OWN | of_camera("door")}
    eventually(lambda: TopicRecord(tmp_path).read() == expected)


def test_pictures_are_removed_first_and_what_shows_a_host_last() -> None:
    topics = {*OWN, *of_camera("door"), "old/availability", "old/status", DOCUMENT}
    assert removal_order(topics) == [
        f"{BASE}/door/snapshot",
        f"{BASE}/door/action",
        f"{BASE}/door/status",
        DOCUMENT,
        f"{BASE}/status",
        "old/status",
        f"{BASE}/availability",
        "old/availability",
    ]
