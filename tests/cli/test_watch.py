"""`edge-tdn watch`, and what it shows of hosts that are away."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.cli.live_view import LiveView
from edge_tdn.cli.terminal import event_line
from edge_tdn.cli.watch_output import Screen
from edge_tdn.delivery.mqtt import Connection, Message
from edge_tdn.status_messages import CameraStatus
from edge_tdn.subscriber import HostMessage, Subscriber
from tests.support.broker import Mosquitto
from tests.support.subscriber import MOMENT, MessageLog, ReplayingHost, make_event
from tests.support.waiting import PROGRAM_S, eventually


@pytest.fixture
def host(broker: Mosquitto) -> Iterator[ReplayingHost]:
    host = ReplayingHost(broker)
    yield host
    host.close()


def test_watch_prints_events_and_gaps_and_a_summary(broker: Mosquitto, host: ReplayingHost, tmp_path: Path) -> None:
    def watch(name: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge_tdn", "watch", "--broker", broker.url, *options]
        with (tmp_path / name).open("w") as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True)

    def printed(name: str) -> list[str]:
        return (tmp_path / name).read_text().splitlines()

    connection, link = broker.link()
    link.publish(Message("edge-tdn/here/availability", b"online", retain=True))
    for_people, for_programs = watch("text"), watch("json", "--json", "--no-replay")
    host.publish_until(lambda: "probe" in str(printed("text")) and "probe" in str(printed("json")))
    host.publish(1, 4, 4)
    eventually(lambda: "filled" in str(printed("json")) and "all there" in str(printed("text")))
    for process in (for_people, for_programs):
        process.send_signal(signal.SIGINT)
        assert re.fullmatch(
            r"events 5, duplicates \d+, gaps filled 1, left 0\n", process.communicate(timeout=PROGRAM_S)[1]
        )
        assert process.returncode == 0
    connection.close()
    first, second, *rest = printed("text")
    assert second == "edge-tdn/here: online"
    assert first == f"broker 127.0.0.1:{broker.port}: connected, listening to edge-tdn/+/#"
    lines = [line for line in rest if "probe" not in line]
    assert lines[1] == "edge-tdn/here/door: missed events 2 to 3"
    assert [line.endswith("replayed") for line in lines] == [False, False, False, True, True, False]
    assert lines[5] == "edge-tdn/here/door: events 2 to 3: all there now"
    documents = [json.loads(line) for line in printed("json")]
    assert documents[0] == {"topic": "edge-tdn/here/availability", "message": "online"}
    gaps = [one["gap"] for one in documents if "gap" in one]
    assert gaps[0] == {
        "topic": "edge-tdn/here/door",
        "from_seq": 2,
        "to_seq": 3,
        "state": "open",
        "missing": 2,
        "reason": "",
    }
    assert [gap["state"] for gap in gaps] == ["open", "filled"]
    events = [one["message"]["seq"] for one in documents if one.get("topic") == "edge-tdn/here/door/events"]
    assert events == [1, 4, 2, 3]
    assert len(host.requests) == 1


def status(camera: str, state: str = "streaming") -> bytes:
    """Return the payload of a camera's status."""
    counts = dict.fromkeys(("clips", "gated", "shed", "gaps"), 0)
    values = {"camera": camera, "state": state, "reason": "", "since": MOMENT, "fps": 25, "width": 640, "height": 480}
    return CameraStatus.model_validate({**values, "hop": 1, "latency_ms": 20, **counts}).json_bytes()


def test_an_events_line_ends_with_the_file_that_is_new() -> None:
    """That is the picture of a start, and the clip of an end: each exists soon."""
    files = {"snapshot": "door/a.jpg", "clip": "door/a.mp4"}
    lines = [
        event_line(make_event(1).model_copy(update={"type": kind, **files})) for kind in ("start", "update", "end")
    ]
    assert [line.rsplit("  ", 1)[1] for line in lines] == ["door/a.jpg", "0.90", "door/a.mp4"]
    assert event_line(make_event(1)).endswith("  left  0.90")


def test_an_event_of_a_zone_names_it_beside_its_camera() -> None:
    event = make_event(1).model_copy(update={"zone": "gate"})
    assert "  door/gate  start  left" in event_line(event)
    output = StringIO()
    screen = Screen(Console(file=output, width=200), "broker here", "edge-tdn/+", 10.0)
    screen.show(HostMessage("edge-tdn/here/door/events", event, b""))
    assert output.getvalue() == f"here  {event_line(event)}\n"


def test_availability_of_a_host_replaces_the_last_status_of_its_cameras(broker: Mosquitto) -> None:
    """`barn` is down, `yard` is up: their retained messages may arrive in either order."""
    connection, link = broker.link()
    for host, availability in (("barn", b"offline"), ("yard", b"online"), ("odd", b"\xff")):
        link.publish(Message(f"edge-tdn/{host}/door/status", status("door"), retain=True))
        link.publish(Message(f"edge-tdn/{host}/availability", availability, retain=True))
    with Subscriber("edge-tdn/+", Connection(broker.config(), "sub")) as subscriber:
        log = MessageLog(subscriber)
        log.wait_for(lambda: subscriber.invalid == 1 and len(log.messages) == 5)
        retained = list(log.messages)
        link.publish(Message("edge-tdn/barn/availability", b"online", retain=True))
        link.publish(Message("edge-tdn/barn/door/status", status("door", "connecting"), retain=True))
        link.publish(Message("edge-tdn/yard/availability", b"stopped", retain=True))
        log.wait_for(lambda: len(log.messages) == 8)
    connection.close()
    for order in (retained, retained[::-1]):
        output = StringIO()
        screen = Screen(Console(file=output, width=200), "broker here", "edge-tdn/+", 10.0)
        for message in order:
            screen.show(message)
        assert sorted(output.getvalue().splitlines()) == [
            "edge-tdn/barn: offline",
            "edge-tdn/yard/door/status: streaming",
            "edge-tdn/yard: online",
        ]
        for message in (*order, *log.messages[5:]):
            screen.show(message)
        assert output.getvalue().splitlines()[3:] == [
            "edge-tdn/barn: online",
            "edge-tdn/barn/door/status: connecting",
            "edge-tdn/yard: stopped",
        ]
    view = LiveView(lambda: "edge-tdn demo")
    for message in log.messages:
        view.take(message.content)
    Console(file=StringIO()).print(view)


def test_watch_reports_the_connection_and_warns_of_a_silent_topic() -> None:
    now_s, output = 100.0, StringIO()
    screen = Screen(Console(file=output, width=200), "broker here", "edge-tdn/x", 10.0, lambda: now_s)
    for connected, reason in ((False, ""), (False, "refused"), (False, "refused"), (True, ""), (True, "")):
        now_s += 9
        screen.show_link(connected, reason)
    lines = ["broker here: refused", "broker here: connected, listening to edge-tdn/x/#"]
    assert output.getvalue().splitlines() == lines
    for _ in range(2):
        now_s += 9
        screen.show_link(True, "")
    (warning,) = output.getvalue().splitlines()[2:]
    assert warning.startswith("nothing received yet; is edge-tdn/x right?")
