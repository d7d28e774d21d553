"""A subscriber, a host that loses events on the way, and a real broker between them."""

import inspect
import json
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from queue import Empty

import pytest
from rich.console import Console

from edge_tdn.cli.terminal import View
from edge_tdn.cli.watch import Screen
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.commands import CommandError, Replay, parse
from edge_tdn.delivery.mqtt import Acknowledged, Connected, Connection, Link, Message, Received
from edge_tdn.messages import ActionEvent, CameraStatus, Reply
from edge_tdn.subscriber import subscriber as subscribe
from edge_tdn.subscriber.gaps import Gap
from edge_tdn.subscriber.subscriber import Heard, Subscriber
from tests.subscriber.test_gaps import MOMENT, event
from tests.support.broker import Mosquitto
from tests.support.wire import Wire


class Host:
    """Publishes the events that it is told to, and answers the command `replay` with those that it keeps."""

    def __init__(self, broker: Mosquitto, name: str = "here", kept: range = range(1000)) -> None:
        self._name, self._kept = name, kept
        self._base = f"edge-tdn/{name}"
        self._connection = Connection(broker.config(), f"host-{name}")
        self._link: Link | None = None
        self._ready, self._over = threading.Event(), threading.Event()
        self._sent = self._taken = 0  # messages: handed over, acknowledged by the broker
        self.asked: list[Replay] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._ready.wait(60)

    def publish(self, *seqs: int, camera: str = "door", replayed: bool = False, retain: bool = False) -> None:
        for seq in seqs:
            one = event(seq, camera=camera, host=self._name, replayed=replayed)
            self._send(Message(f"{self._base}/{camera}/events", one.json_bytes(), retain=retain))

    def settle(self) -> None:
        """The broker has what was published, when it returns."""
        until(lambda: self._taken == self._sent)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _send(self, message: Message) -> None:
        assert self._link
        self._sent += 1
        self._link.publish(message)

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                note = self._connection.notes.get(timeout=0.05)
            except Empty:
                continue
            match note:
                case Connected(link):
                    self._link = link
                    link.subscribe(f"{self._base}/cmd/#")
                    self._send(Message(f"{self._base}/cmd/ready", b""))
                case Acknowledged():
                    self._taken += 1
                case Received(topic) if topic.endswith("/ready"):
                    self._ready.set()
                case Received(topic, payload, _):
                    self._send(Message(f"{self._base}/reply", self._answer(topic, payload).json_bytes()))

    def _answer(self, topic: str, payload: bytes) -> Reply:
        try:
            command = parse(topic.removeprefix(f"{self._base}/cmd/"), payload, ["door"])
        except CommandError as error:
            return Reply(command="replay", id=error.id, ok=False, error=str(error), result={})
        assert isinstance(command, Replay)
        assert command.to_seq
        self.asked.append(command)
        sent = [seq for seq in range(command.from_seq, command.to_seq + 1) if seq in self._kept]
        self.publish(*sent, camera=command.camera, replayed=True)
        missing = command.to_seq - command.from_seq + 1 - len(sent)
        result = {"camera": command.camera, "from_seq": command.from_seq, "to_seq": command.to_seq}
        return Reply(
            command="replay", id=command.id, ok=True, error="", result={**result, "sent": len(sent), "missing": missing}
        )


@pytest.fixture
def host(broker: Mosquitto) -> Iterator[Host]:
    one = Host(broker)
    yield one
    one.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Listener:
    """What a subscriber tells; it leaves the loop after each message, as a program may."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self.heard: list[Heard] = []

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.heard
            for heard in self._subscriber.messages(0.1):
                self.heard.append(heard)
                break

    def listen(self, seconds: float) -> None:
        self.heard += self._subscriber.messages(seconds)

    def events(self, topic: str = "edge-tdn/here/door/events") -> list[int]:
        return [heard.said.seq for heard in self.heard if heard.topic == topic and isinstance(heard.said, ActionEvent)]

    def gaps(self) -> list[tuple[str, int, int, str]]:
        gaps = [heard.said for heard in self.heard if isinstance(heard.said, Gap)]
        return [(gap.topic, gap.from_seq, gap.to_seq, gap.state) for gap in gaps]


def probe(host: Host, heard: Callable[[], bool], seq: int = 1, camera: str = "probe") -> None:
    """Until somebody hears it, and so is subscribed."""
    for _ in range(600):
        host.publish(seq, camera=camera)
        time.sleep(0.1)
        if heard():
            return
    raise AssertionError("nobody subscribes")


def test_the_example_hears_every_event_once(broker: Mosquitto, host: Host) -> None:
    example = re.search(r"\n\n((?:    .*\n|\n)+)", inspect.getdoc(subscribe) or "")
    assert example
    told: list[tuple[object, ...]] = []

    class Enough(Exception):
        pass

    def tell(*words: object) -> None:
        told.append(words)
        if ("edge-tdn/here/door", 5, 7, "filled", "") in told:
            raise Enough

    def run() -> None:
        code = textwrap.dedent(example[1]).replace("mqtt://localhost:1883", broker.url)
        with pytest.raises(Enough):
            exec(code, {"print": tell})

    thread = threading.Thread(target=run)
    thread.start()
    probe(host, lambda: bool(told))
    host.publish(1, 3, 3, 4, 8, 1)
    thread.join(60)
    assert not thread.is_alive(), told
    events = [words[1] for words in told if words[0] == "edge-tdn/here/door/events"]
    assert sorted(events, key=str) == list(range(1, 9))
    assert ("edge-tdn/here/door", 2, 2, "open", "") in told
    assert [(command.from_seq, command.to_seq) for command in host.asked] == [(2, 2), (5, 7)]


def test_what_an_outage_of_the_line_took_is_replayed(broker: Mosquitto, host: Host) -> None:
    wire = Wire(broker.port)
    with Subscriber("edge-tdn/+", Connection(BrokerConfig(url=f"mqtt://127.0.0.1:{wire.port}"), "sub")) as subscriber:
        listener = Listener(subscriber)
        probe(host, lambda: listener.listen(0.1) or bool(listener.heard))
        host.publish(1)
        listener.until(lambda: listener.events() == [1])
        wire.cut()
        listener.until(lambda: not subscriber.connected)
        host.publish(2, 3, 4)
        listener.listen(0.3)
        wire.mend()
        probe(host, lambda: listener.listen(0.1) or 5 in listener.events(), seq=5, camera="door")
        listener.until(lambda: "filled" in str(listener.gaps()))
        assert sorted(listener.events()) == [1, 2, 3, 4, 5]
        replayed = [h.said.seq for h in listener.heard if isinstance(h.said, ActionEvent) and h.said.replayed]
        assert replayed == [2, 3, 4]
    wire.close()


def test_a_program_goes_on_where_it_stopped(broker: Mosquitto, host: Host) -> None:
    with broker.subscriber("edge-tdn/+") as first:
        listener = Listener(first)
        host.publish(7, 8)
        listener.until(lambda: listener.events() == [7, 8])
        place = first.complete
    assert json.loads(json.dumps(place)) == {"edge-tdn/here/door": 8}
    host.publish(9, 10)
    with Subscriber("edge-tdn/+", Connection(broker.config(), "again"), since=place) as second:
        listener = Listener(second)
        probe(host, lambda: listener.listen(0.1) or bool(listener.heard))
        host.publish(8, 11)
        listener.until(lambda: "filled" in str(listener.gaps()))
        assert sorted(listener.events()) == [9, 10, 11]


def test_each_host_is_asked_for_its_own_and_may_have_lost_it(broker: Mosquitto, host: Host) -> None:
    there = Host(broker, "there", kept=range(3, 1000))
    with broker.subscriber("edge-tdn/+") as subscriber:
        listener = Listener(subscriber)
        for one in (host, there):
            one.publish(1, 4)
        there.publish(1, 3, camera="gone")  # which that host does not know
        listener.until(lambda: not subscriber.tally.gaps["open"] and len(listener.gaps()) == 6)
        assert sorted(listener.events()) == [1, 2, 3, 4]
        assert sorted(listener.events("edge-tdn/there/door/events")) == [1, 3, 4]
        gaps = {heard.said.topic: heard.said for heard in listener.heard if isinstance(heard.said, Gap)}
        assert gaps == {
            "edge-tdn/here/door": Gap("edge-tdn/here/door", 2, 3, "filled", 0),
            "edge-tdn/there/door": Gap("edge-tdn/there/door", 2, 3, "lost", 1, "the host has it no more"),
            "edge-tdn/there/gone": Gap(
                "edge-tdn/there/gone", 2, 2, "lost", 1, "unknown camera 'gone'; allowed: door"
            ),
        }  # fmt: skip
    there.close()


def test_without_replay_nothing_is_asked_for_and_retained_events_are_no_events(broker: Mosquitto, host: Host) -> None:
    host.publish(99, retain=True)
    host.settle()
    with Subscriber("edge-tdn/here", Connection(broker.config(), "sub"), replay=False) as subscriber:
        listener = Listener(subscriber)
        listener.until(lambda: subscriber.invalid == 1)
        host.publish(1, 3)
        listener.until(lambda: listener.events() == [1, 3])
        listener.listen(1)
        assert listener.gaps() == [("edge-tdn/here/door", 2, 2, "open")]
        assert host.asked == []


def test_watch_tells_what_is_missing_and_sums_up(broker: Mosquitto, host: Host, tmp_path: Path) -> None:
    def watch(name: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge_tdn", "watch", "--broker", broker.url, *options]
        with (tmp_path / name).open("w") as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True)

    def told(name: str) -> list[str]:
        return (tmp_path / name).read_text().splitlines()

    connection, link = broker.link()
    link.publish(Message("edge-tdn/here/availability", b"online", retain=True))
    for_people, for_programs = watch("text"), watch("json", "--json", "--no-replay")
    probe(host, lambda: "probe" in str(told("text")) and "probe" in str(told("json")))
    host.publish(1, 4, 4)
    until(lambda: "filled" in str(told("json")) and "all there" in str(told("text")))
    for process in (for_people, for_programs):
        process.send_signal(signal.SIGINT)
        assert re.fullmatch(r"events 5, duplicates \d+, gaps filled 1, left 0\n", process.communicate(timeout=60)[1])
        assert process.returncode == 0
    connection.close()
    first, second, *rest = told("text")
    assert second == "edge-tdn/here: online"
    assert first == f"broker 127.0.0.1:{broker.port}: connected, listening to edge-tdn/+/#"
    lines = [line for line in rest if "probe" not in line]
    assert lines[1] == "edge-tdn/here/door: missed events 2 to 3"
    assert [line.endswith("replayed") for line in lines] == [False, False, False, True, True, False]
    assert lines[5] == "edge-tdn/here/door: events 2 to 3: all there now"
    documents = [json.loads(line) for line in told("json")]
    assert documents[0] == {"topic": "edge-tdn/here/availability", "message": "online"}
    gaps = [one["gap"] for one in documents if "gap" in one]
    assert gaps[0] == {
        "topic": "edge-tdn/here/door", "from_seq": 2, "to_seq": 3, "state": "open", "missing": 2, "reason": "",
    }  # fmt: skip
    assert [gap["state"] for gap in gaps] == ["open", "filled"]
    events = [one["message"]["seq"] for one in documents if one.get("topic") == "edge-tdn/here/door/events"]
    assert events == [1, 4, 2, 3]
    assert len(host.asked) == 1


def status(camera: str, state: str = "streaming") -> bytes:
    return CameraStatus.model_validate(
        {"camera": camera, "state": state, "reason": "", "since": MOMENT, "fps": 25, "width": 640, "height": 480,
         "hop": 1, "latency_ms": 20, "clips": 1, "gated": 0, "shed": 0, "gaps": 0}
    ).json_bytes()  # fmt: skip


def test_a_host_that_is_away_is_told_in_place_of_what_its_cameras_said_last(broker: Mosquitto) -> None:
    """`barn` is dead, `yard` is there: their retained messages may come in either order."""
    connection, link = broker.link()
    for host, availability in (("barn", b"offline"), ("yard", b"online"), ("odd", b"\xff")):
        link.publish(Message(f"edge-tdn/{host}/door/status", status("door"), retain=True))
        link.publish(Message(f"edge-tdn/{host}/availability", availability, retain=True))
    with Subscriber("edge-tdn/+", Connection(broker.config(), "sub")) as subscriber:
        listener = Listener(subscriber)
        listener.until(lambda: subscriber.invalid == 1 and len(listener.heard) == 5)
        retained = list(listener.heard)
        link.publish(Message("edge-tdn/barn/availability", b"online", retain=True))
        link.publish(Message("edge-tdn/barn/door/status", status("door", "connecting"), retain=True))
        link.publish(Message("edge-tdn/yard/availability", b"stopped", retain=True))
        listener.until(lambda: len(listener.heard) == 8)
    connection.close()
    for order in (retained, retained[::-1]):
        told = StringIO()
        screen = Screen(Console(file=told, width=200), "broker here", "edge-tdn/+")
        for heard in order:
            screen.show(heard)
        assert sorted(told.getvalue().splitlines()) == [
            "edge-tdn/barn: offline", "edge-tdn/yard/door/status: streaming", "edge-tdn/yard: online",
        ]  # fmt: skip
        for heard in (*order, *listener.heard[5:]):
            screen.show(heard)
        assert told.getvalue().splitlines()[3:] == [
            "edge-tdn/barn: online", "edge-tdn/barn/door/status: connecting", "edge-tdn/yard: stopped",
        ]  # fmt: skip
    view = View("edge-tdn demo")
    for heard in listener.heard:
        view.hear(heard.said)
    Console(file=StringIO()).print(view)


def test_watch_says_to_whom_it_listens_and_doubts_a_silent_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, told = 100.0, StringIO()
    monkeypatch.setattr("edge_tdn.cli.watch.time.monotonic", lambda: now_s)
    screen = Screen(Console(file=told, width=200), "broker here", "edge-tdn/x")
    for connected, trouble in ((False, ""), (False, "refused"), (False, "refused"), (True, ""), (True, "")):
        now_s += 9
        screen.link(connected, trouble)
    assert told.getvalue().splitlines() == ["broker here: refused", "broker here: connected, listening to edge-tdn/x/#"]
    for _ in range(2):
        now_s += 9
        screen.link(True, "")
    (doubt,) = told.getvalue().splitlines()[2:]
    assert doubt.startswith("nothing heard yet; is edge-tdn/x right?")
