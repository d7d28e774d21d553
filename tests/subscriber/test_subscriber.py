"""A subscriber, a host whose events get lost on the way, and a real broker between them."""

import inspect
import json
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_tdn.subscriber
from edge_tdn.cli.watch_output import document
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.mqtt import Connection, Message
from edge_tdn.jpeg_comment import with_comment
from edge_tdn.subscriber import Gap, Snapshot, Subscriber, broker_access
from tests.support.broker import Mosquitto
from tests.support.subscriber import JPEG, MessageLog, ReplayingHost
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.wire import Wire


@pytest.fixture
def host(broker: Mosquitto) -> Iterator[ReplayingHost]:
    host = ReplayingHost(broker)
    yield host
    host.close()


def test_example_of_the_documentation_prints_every_event_once(broker: Mosquitto, host: ReplayingHost) -> None:
    example = re.search(r"\n\n((?:    .*\n|\n)+)", inspect.getdoc(edge_tdn.subscriber) or "")
    assert example
    printed: list[tuple[object, ...]] = []

    class Finished(Exception):
        pass

    def record(*values: object) -> None:
        printed.append(values)
        if ("edge-tdn/here/door", 5, 7, "filled", "") in printed:
            raise Finished

    def run() -> None:
        code = textwrap.dedent(example[1]).replace("mqtt://localhost:1883", broker.url)
        with pytest.raises(Finished):
            exec(code, {"print": record})

    thread = threading.Thread(target=run)
    thread.start()
    host.publish_until(lambda: printed)
    host.publish(1, 3, 3, 4, 8, 1)
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), printed
    events = [values[1] for values in printed if values[0] == "edge-tdn/here/door/events"]
    assert sorted(events, key=str) == list(range(1, 9))
    assert ("edge-tdn/here/door", 2, 2, "open", "") in printed
    assert [(request.from_seq, request.to_seq) for request in host.requests] == [(2, 2), (5, 7)]


def test_broker_access_reads_the_password_for_a_connection(tmp_path: Path) -> None:
    """With the password the broker accepts the subscriber; without, the user name alone is rejected."""
    subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "passwords", "here", "right"], check=True)
    broker = Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {tmp_path}/passwords")
    (tmp_path / "secret").write_text("right\n")
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.guarded_port}", username="here", password_file="secret")
    with Subscriber("edge-tdn/+", Connection(config, "with", broker_access(config, tmp_path))) as subscriber:
        eventually(lambda: not list(subscriber.messages(0.1)) and subscriber.connected)
    with Subscriber("edge-tdn/+", Connection(config, "without")) as subscriber:
        eventually(
            lambda: not list(subscriber.messages(0.1)) and "Not authorized" in subscriber.connection_error,
            describe=lambda: subscriber.connection_error,
        )
        assert not subscriber.connected
    broker.stop()


def test_import_loads_no_heavy_library() -> None:
    """A program that only subscribes pays for paho and pydantic, not for inference, video or the terminal."""
    code = "import sys, edge_tdn.subscriber; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"openvino", "cv2", "gi", "torch", "PIL", "rich", "prometheus_client", "iotcore", "sqlite3"}
    assert not heavy & set(loaded)
    assert "paho" in loaded


def test_events_of_an_outage_are_replayed(broker: Mosquitto, host: ReplayingHost) -> None:
    wire = Wire(broker.port)
    with Subscriber("edge-tdn/+", Connection(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}"), "sub")) as subscriber:
        log = MessageLog(subscriber)
        host.publish_until(lambda: log.record(0.1))
        host.publish(1)
        log.wait_for(lambda: log.seqs() == [1])
        wire.cut()
        log.wait_for(lambda: not subscriber.connected)
        host.publish(2, 3, 4)
        host.wait_until_published()
        wire.mend()
        host.publish_until(lambda: log.record(0.1) and 5 in log.seqs(), seq=5, camera="door")
        log.wait_for(lambda: "filled" in [gap.state for gap in log.gaps()])
        assert sorted(log.seqs()) == [1, 2, 3, 4, 5]
        assert [event.seq for event in log.events() if event.replayed] == [2, 3, 4]
    wire.close()


def test_since_continues_after_a_restart(broker: Mosquitto, host: ReplayingHost) -> None:
    with broker.subscriber("edge-tdn/+") as first:
        log = MessageLog(first)
        host.publish(7, 8)
        log.wait_for(lambda: log.seqs() == [7, 8])
        complete = first.complete
    assert json.loads(json.dumps(complete)) == {"edge-tdn/here/door": 8}
    host.publish(9, 10)
    host.wait_until_published()
    with Subscriber("edge-tdn/+", Connection(broker.config(), "again"), since=complete) as second:
        log = MessageLog(second)
        host.publish_until(lambda: log.record(0.1))
        host.publish(8, 11)
        log.wait_for(lambda: "filled" in [gap.state for gap in log.gaps()])
        assert sorted(log.seqs()) == [9, 10, 11]


def test_each_host_replays_its_own_events_and_may_have_lost_them(broker: Mosquitto, host: ReplayingHost) -> None:
    there = ReplayingHost(broker, "there", kept=range(3, 1000))
    with broker.subscriber("edge-tdn/+") as subscriber:
        log = MessageLog(subscriber)
        for one in (host, there):
            one.publish(1, 4)
        there.publish(1, 3, camera="gone")  # a camera that the host does not know
        log.wait_for(lambda: not subscriber.counts.gaps["open"] and len(log.gaps()) == 6)
        assert sorted(log.seqs()) == [1, 2, 3, 4]
        assert sorted(log.seqs("edge-tdn/there/door/events")) == [1, 3, 4]
        assert {gap.topic: gap for gap in log.gaps()} == {
            "edge-tdn/here/door": Gap("edge-tdn/here/door", 2, 3, "filled", 0),
            "edge-tdn/there/door": Gap("edge-tdn/there/door", 2, 3, "lost", 1, "the host no longer has them"),
            "edge-tdn/there/gone": Gap("edge-tdn/there/gone", 2, 2, "lost", 1, "unknown camera 'gone'; allowed: door"),
        }
    there.close()


def test_a_snapshot_names_the_action_that_it_shows(broker: Mosquitto) -> None:
    """Also the retained one, from before the subscription; a picture of another program has no id."""
    connection, link = broker.link()
    for host, payload in (("here", with_comment(JPEG, "here/door/b1/7")), ("there", JPEG), ("gone", b"")):
        link.publish(Message(f"edge-tdn/{host}/door/snapshot", payload, retain=True))
    with Subscriber("edge-tdn/+", Connection(broker.config(), "late")) as subscriber:
        log = MessageLog(subscriber)
        log.wait_for(lambda: len(log.messages) == 2)
    connection.close()
    assert sorted((message.topic, message.content) for message in log.messages) == [
        ("edge-tdn/here/door/snapshot", Snapshot(with_comment(JPEG, "here/door/b1/7"), "here/door/b1/7")),
        ("edge-tdn/there/door/snapshot", Snapshot(JPEG, "")),
    ]
    assert "jpeg" not in repr(log.messages[0].content), "thousands of bytes"
    shown = [document(message)["snapshot"] for message in sorted(log.messages, key=lambda message: message.topic)]
    assert shown == [{"id": "here/door/b1/7", "bytes": len(JPEG) + 18}, {"id": "", "bytes": len(JPEG)}]


def test_without_replay_gaps_are_only_reported(broker: Mosquitto, host: ReplayingHost) -> None:
    """Retained events count as invalid."""
    host.publish(99, retain=True)
    host.wait_until_published()
    with Subscriber("edge-tdn/here", Connection(broker.config(), "sub"), replay=False) as subscriber:
        log = MessageLog(subscriber)
        log.wait_for(lambda: subscriber.invalid == 1)
        host.publish(1, 3)
        log.wait_for(lambda: log.seqs() == [1, 3])
        log.record(1)
        assert log.gaps() == [Gap("edge-tdn/here/door", 2, 2, "open", 1)]
        assert host.requests == []
