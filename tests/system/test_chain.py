"""The main job, end to end and as users run it: `edge-tdn run`, real GStreamer, real OpenVINO, real mosquitto."""

import json
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from statistics import median

import jsonschema
import psutil
import pytest

from edge_tdn.delivery.mqtt import Message, Received
from edge_tdn.demo.demo_clip import ACTIONS, demo_clip
from edge_tdn.messages import PUBLISHED, json_schema
from tests.conftest import Mosquitto

HERE = "here"  # below the host's topic, where nobody speaks but who listens
SCHEMA_OF = {"events": "event", "status": "camera_status", "scores": "scores"}


class Raw:
    """Every message of a host, in order, each validated against its published schema."""

    def __init__(self, broker: Mosquitto, base: str) -> None:
        self._base = base
        self._connection, self._link = broker.link("raw")
        self.messages: list[tuple[str, object]] = []
        self.heard_s: list[float] = []  # wall clock, of each message
        self._sent = self._back = 0
        self._validators = {name: jsonschema.Draft202012Validator(json.loads(json_schema(name))) for name in PUBLISHED}
        self._link.subscribe(f"{base}/#")
        self.catch_up()

    def listen(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                note = self._connection.notes.get(timeout=left)
                if isinstance(note, Received):
                    self._take(note)

    def until(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.messages[-12:]
            self.listen(0.05)

    def catch_up(self) -> None:
        """Hears all that the broker has now: what it had before comes before our own word."""
        self._sent += 1
        self._link.publish(Message(f"{self._base}/{HERE}", b""))
        self.until(lambda: self._back == self._sent)

    @property
    def available(self) -> list[object]:
        """What was said of the daemon."""
        return [content for topic, content in self.messages if topic == "availability"]

    def state(self, camera: str) -> str:
        """As last told; empty: never."""
        told = self.of(camera, "status")
        return str(told[-1]["state"]) if told else ""

    def of(self, camera: str, kind: str) -> list[dict]:  # type: ignore[type-arg]
        return [content for topic, content in self.messages if topic == f"{camera}/{kind}"]  # type: ignore[misc]

    def close(self) -> None:
        self._connection.close()

    def _take(self, note: Received) -> None:
        topic = note.topic.removeprefix(f"{self._base}/")
        if topic == HERE:
            self._back += 1
            return
        self.heard_s.append(time.time())
        if topic == "availability" or topic.endswith("/action"):
            self.messages.append((topic, note.payload.decode()))
            return
        content = json.loads(note.payload)
        name = "daemon_status" if topic == "status" else SCHEMA_OF[topic.split("/")[1]]
        self._validators[name].validate(content)
        assert not (topic.endswith(("/events", "/scores")) and note.retained)
        self.messages.append((topic, content))


class Daemon:
    """A running `edge-tdn run`."""

    def __init__(self, config: Path) -> None:
        self._log = config.with_suffix(".log")
        command = [sys.executable, "-m", "edge_tdn", "run", "--config", str(config)]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def ends(self, within_s: float) -> int:
        """Exit status."""
        return self.process.wait(within_s)

    def until_logged(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.log():
            assert self.alive, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        """What it wrote; there is never a traceback in it."""
        text = self._log.read_text()
        assert "Traceback" not in text, text
        return text


@contextmanager
def running(config: Path) -> Iterator[Daemon]:
    daemon = Daemon(config)
    try:
        yield daemon
    finally:
        daemon.process.kill()
        daemon.process.wait()


def site(tmp_path: Path, broker: Mosquitto, *cameras: str, extra: str = "") -> Path:
    path = tmp_path / "site.toml"
    tables = "".join(f"[[camera]]\n{camera}\n" for camera in cameras)
    path.write_text(
        f'host = "test"\n[broker]\nurl = "{broker.url}"\nscores = true\n{extra}\n[outbox]\nfolder = "outbox"\n{tables}'
    )
    return path


def lives(events: list[dict]) -> list[tuple[str, str]]:  # type: ignore[type-arg]
    """(label, reason) of every action; each must have one start, then updates, then one end, seq without a gap."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    ended, open_id = [], None
    for event in events:
        if event["type"] == "start":
            assert open_id is None
            open_id = event["id"]
        else:
            assert event["id"] == open_id
        if event["type"] == "end":
            ended.append((event["label"], event["reason"]))
            open_id = None
    assert open_id is None
    return ended


def test_the_demo_clip_is_recognised_action_by_action(broker: Mosquitto, tmp_path: Path) -> None:
    demo_clip()
    raw = Raw(broker, "edge-tdn/test")
    with running(site(tmp_path, broker, 'name = "demo"\nsource = "demo:"')) as daemon:
        raw.until(lambda: not daemon.alive, 150)
        assert daemon.ends(0) == 0  # the only source has ended, and so has the daemon
    raw.until(lambda: raw.available[-1:] == ["stopped"])
    events = raw.of("demo", "events")
    assert [label for label, _ in lives(events)] == list(ACTIONS)
    assert all(reason == "below_threshold" for _, reason in lives(events)[:-1])
    model = {event["model"]["id"] for event in events}
    assert model == {"motion"}
    totals_ms = []
    for heard_s, (topic, event) in zip(raw.heard_s, raw.messages, strict=True):
        if topic == "demo/events" and (latency := event["latency_ms"]):  # type: ignore[index]
            age_ms = 1000 * (heard_s - datetime.fromisoformat(event["window"]["to"]).timestamp())  # type: ignore[index]
            assert 0 < latency["infer"] <= latency["total"] <= age_ms + 1  # of the window's last picture, in whole ms
            totals_ms.append(latency["total"])
    assert median(totals_ms) < 1000
    states = [status["state"] for status in raw.of("demo", "status")]
    assert list(dict.fromkeys(states)) == ["connecting", "streaming", "ended"]
    assert 25 <= median(status["fps"] for status in raw.of("demo", "status") if status["fps"]) <= 35
    assert raw.available == ["online", "stopped"]
    assert [content for topic, content in raw.messages if topic == "demo/action"][-1] == "none"
    assert len(raw.of("demo", "scores")) > 80
    daemon.log()
    raw.close()


@pytest.mark.data
def test_two_real_videos_at_once_give_valid_events(data: Path, broker: Mosquitto, tmp_path: Path) -> None:
    """The reels are real people: what the model calls their motions is its affair; that they live properly is ours."""
    reels = {"activities": "activities_reel.mp4", "asl": "asl_reel.mp4"}
    cameras = [f'name = "{name}"\nsource = "{data / "videos" / file}"' for name, file in reels.items()]
    extra = "[decide]\nenter_threshold = 0.5\nexit_threshold = 0.35\nmin_length_s = 0.2"
    raw = Raw(broker, "edge-tdn/test")
    with running(site(tmp_path, broker, *cameras, extra=extra)) as daemon:
        raw.until(lambda: not daemon.alive, 150)
        assert daemon.ends(0) == 0
    raw.until(lambda: raw.available[-1:] == ["stopped"])
    for name in reels:
        events = raw.of(name, "events")
        assert len(lives(events)) >= 3
        assert {event["camera"] for event in events} == {name}
        last = raw.of(name, "status")[-1]
        assert last["state"] == "ended"
        assert last["gaps"] == 0
        seconds = json.loads((data / "videos" / reels[name]).with_suffix(".json").read_text())
        assert seconds
        # T = 8 segments of stride 4 at 15 frames a second: the first clip is there after 2.3 s, then one every 0.27 s
        length_s = {"activities": 49, "asl": 44}[name]
        expected = (length_s - 2.3) / (4 / 15)
        assert last["clips"] + last["shed"] == pytest.approx(expected, abs=6)
        assert last["shed"] <= 0.05 * expected
    raw.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_within_two_seconds(number: signal.Signals, broker: Mosquitto, tmp_path: Path) -> None:
    raw = Raw(broker, "edge-tdn/test")
    source = 'name = "test"\nsource = "gst: videotestsrc is-live=true pattern=ball ! video/x-raw,framerate=30/1"'
    with running(site(tmp_path, broker, source, 'name = "away"\nsource = "rtsp://127.0.0.1:1/x"')) as daemon:
        raw.until(lambda: raw.state("away") == "unreachable" and bool(raw.of("test", "scores")))
        raw.until(lambda: raw.of("test", "status")[-1]["clips"] > 0)
        assert daemon.alive
        began = time.monotonic()
        daemon.process.send_signal(number)
        assert daemon.ends(30) == 0
        assert time.monotonic() - began < 2
    raw.until(lambda: raw.available[-1:] == ["stopped"])
    lives(raw.of("test", "events"))
    assert raw.of("test", "status")[-1]["clips"] > 0
    assert raw.of("away", "status")[-1]["state"] == "unreachable"
    assert "127.0.0.1:1" in raw.of("away", "status")[-1]["reason"]
    assert raw.available == ["online", "stopped"]
    daemon.log()
    raw.close()


def test_a_killed_daemon_is_announced_by_its_last_will(broker: Mosquitto, tmp_path: Path) -> None:
    raw = Raw(broker, "edge-tdn/test")
    with running(site(tmp_path, broker, 'name = "test"\nsource = "gst: videotestsrc is-live=true"')) as daemon:
        raw.until(lambda: bool(raw.available))
        daemon.process.kill()
        raw.until(lambda: len(raw.available) > 1)
    assert raw.available == ["online", "offline"]
    raw.close()


def test_a_late_last_will_cannot_mark_a_living_daemon_dead(broker: Mosquitto, tmp_path: Path) -> None:
    """The first one vanishes without a word, as in a power cut; the second takes its session over."""
    raw = Raw(broker, "edge-tdn/test")
    camera = 'name = "t"\nsource = "gst: videotestsrc is-live=true"'
    with running(site(tmp_path, broker, camera, extra="keepalive_s = 2")) as first:
        raw.until(lambda: bool(raw.available))
        with running(site(tmp_path, broker, camera)) as twin:
            assert twin.ends(60) == 78
        assert "outbox: another edge-tdn keeps its events there" in twin.log()
        first.process.send_signal(signal.SIGSTOP)
        (tmp_path / "other").mkdir()
        with running(site(tmp_path / "other", broker, camera)):
            raw.until(lambda: raw.available.count("online") == 2)
            raw.until(lambda: not _linked(first, broker))  # the broker has parted with it, and sent its will if it does
            raw.catch_up()
    assert raw.available in (
        ["online", "online"],
        ["online", "offline", "online"],
    )
    raw.close()


def _linked(daemon: Daemon, broker: Mosquitto) -> bool:
    """Whether the broker has not ended its connection yet; the process itself may be stopped."""
    connections = psutil.Process(daemon.process.pid).net_connections("tcp")
    return any(one.raddr and one.raddr.port == broker.port and one.status == "ESTABLISHED" for one in connections)


def test_without_a_broker_cameras_run_and_stopping_is_as_quick(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[broker]\nurl = "mqtt://127.0.0.1:1"\n[[camera]]\nname = "t"\nsource = "gst: videotestsrc is-live=true"'
    )
    with running(path) as daemon:
        daemon.until_logged("camera=t state=streaming")
        daemon.until_logged("broker=127.0.0.1:1 unreachable: Connection refused")
        began = time.monotonic()
        daemon.process.terminate()
        assert daemon.ends(30) == 0
        assert time.monotonic() - began < 2


def sizes_told(raw: Raw) -> list[tuple[int, int]]:
    return [(status["width"], status["height"]) for status in raw.of("t", "status") if status["width"]]


def test_a_size_change_empties_the_window_and_goes_on(broker: Mosquitto, tmp_path: Path) -> None:
    sizes = " ".join(
        f"videotestsrc num-buffers=90 is-live=true ! video/x-raw,width={w},height={h},framerate=30/1 ! c."
        for w, h in ((320, 240), (641, 361))
    )
    raw = Raw(broker, "edge-tdn/test")
    with running(site(tmp_path, broker, f'name = "t"\nsource = "gst: {sizes} concat name=c"')) as daemon:
        raw.until(lambda: {*sizes_told(raw)} == {(320, 240), (641, 361)})
        raw.until(lambda: raw.of("t", "status")[-1]["gaps"] >= 1)
        daemon.log()
    raw.close()
