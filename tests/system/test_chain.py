"""The main task, end to end and as users run it: `edge-tdn run`, real GStreamer, real OpenVINO, real mosquitto."""

import json
import signal
from datetime import datetime
from pathlib import Path
from statistics import median

import psutil
import pytest

from edge_tdn.demo.demo_clip import ACTIONS, RATE, SCRIPT, demo_clip
from edge_tdn.process.signals import STOP_TIMEOUT_S
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import HostRecorder, Recorded, actions_of
from tests.support.site import write_site

BASE = "edge-tdn/test"


def test_the_demo_clip_is_recognised_action_by_action(broker: Mosquitto, tmp_path: Path) -> None:
    demo_clip()
    raw = HostRecorder(broker.port, BASE)
    with DaemonProcess(write_site(tmp_path, broker.url, 'name = "demo"\nsource = "demo:"')) as daemon:
        raw.wait_for(lambda: not daemon.is_alive)
        assert daemon.wait(0) == 0  # the only source has ended, and so has the daemon
    raw.wait_for(lambda: raw.availability[-1:] == ["stopped"])
    events = raw.of("demo", "events")
    assert [label for label, _ in actions_of(events)] == list(ACTIONS)
    last = raw.of("demo", "status")[-1]
    reasons = {reason for _, reason in actions_of(events)[:-1]}
    # between two actions a busy host may have shed every clip of the still scene
    assert reasons <= {"below_threshold", *(["superseded"] if last["shed"] else [])}
    model = {event["model"]["id"] for event in events}
    assert model == {"motion"}
    totals_ms, unexplained_ms = [], []  # unexplained: the event's age on arrival that `total` does not cover
    for message in raw.on(f"{BASE}/demo/events"):
        event = message.json()
        if latency := event["latency_ms"]:
            assert 0 < latency["infer"] <= latency["total"]
            age_ms = 1000 * (message.received_s - datetime.fromisoformat(event["window"]["to"]).timestamp())
            totals_ms.append(latency["total"])
            unexplained_ms.append(age_ms - latency["total"])
    assert median(unexplained_ms) > -1  # timestamps are whole ms; the median, since a wall clock may be adjusted
    late_s = last["shed"] * raw.daemon_statuses()[-1]["segment_s"]  # a busy host sheds what it has no time for
    assert median(totals_ms) < 1000 * (1 + late_s)
    states = [status["state"] for status in raw.of("demo", "status")]
    states = [state for state in states if state != "connecting"]  # which a busy host may replace before it is sent
    assert list(dict.fromkeys(states)) == ["streaming", "ended"]
    assert last["frames"] == sum(round(seconds * RATE) for _, seconds in SCRIPT)
    assert median(one.json()["fps"] for one in streaming(raw)) == pytest.approx(frame_rate(raw), rel=1 / 6)
    assert raw.availability == ["online", "stopped"]
    assert raw.labels("demo")[-1] == "none"
    assert len(raw.of("demo", "scores")) + last["shed"] > 80
    daemon.log()
    raw.close()


def streaming(raw: HostRecorder) -> list[Recorded]:
    """Return the statuses of the demo's camera with a frame rate."""
    return [one for one in raw.on(f"{BASE}/demo/status") if one.json()["fps"]]


def frame_rate(raw: HostRecorder) -> float:
    """Return the frames per second by the counts of its statuses: the file's own, or what a busy host achieved."""
    first, *_, last = streaming(raw)
    return float(last.json()["frames"] - first.json()["frames"]) / (last.received_s - first.received_s)


@pytest.mark.slow
@pytest.mark.data
def test_two_real_videos_at_once_give_valid_events(data: Path, broker: Mosquitto, tmp_path: Path) -> None:
    """The reels show real people: the labels are not checked here, the sequence of starts, updates and ends is."""
    reels = {"activities": "activities_reel.mp4", "asl": "asl_reel.mp4"}
    cameras = [f'name = "{name}"\nsource = "{data / "videos" / file}"' for name, file in reels.items()]
    extra = "[decide]\nenter_threshold = 0.5\nexit_threshold = 0.35\nmin_length_s = 0.2"
    raw = HostRecorder(broker.port, BASE)
    with DaemonProcess(write_site(tmp_path, broker.url, *cameras, extra=extra)) as daemon:
        raw.wait_for(lambda: not daemon.is_alive)
        assert daemon.wait(0) == 0
    raw.wait_for(lambda: raw.availability[-1:] == ["stopped"])
    for name in reels:
        events = raw.of(name, "events")
        assert len(actions_of(events)) >= 3
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
        assert last["clips"] >= 3  # on a busy host the others are shed
    raw.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_within_five_seconds(number: signal.Signals, broker: Mosquitto, tmp_path: Path) -> None:
    raw = HostRecorder(broker.port, BASE)
    source = 'name = "test"\nsource = "gst: videotestsrc is-live=true pattern=ball ! video/x-raw,framerate=30/1"'
    with DaemonProcess(
        write_site(tmp_path, broker.url, source, 'name = "away"\nsource = "rtsp://127.0.0.1:1/x"')
    ) as daemon:
        raw.wait_for(lambda: raw.state("away") == "unreachable" and bool(raw.of("test", "scores")))
        raw.wait_for(lambda: raw.of("test", "status")[-1]["clips"] > 0)
        assert daemon.is_alive
        assert STOP_TIMEOUT_S < 5.0, "after which the exit status is 1"
        daemon.process.send_signal(number)
        assert daemon.wait() == 0
    raw.wait_for(lambda: raw.availability[-1:] == ["stopped"])
    actions_of(raw.of("test", "events"))
    assert raw.of("test", "status")[-1]["clips"] > 0
    assert raw.of("away", "status")[-1]["state"] == "unreachable"
    assert "127.0.0.1:1" in raw.of("away", "status")[-1]["reason"]
    assert raw.availability == ["online", "stopped"]
    daemon.log()
    raw.close()


def test_a_killed_daemon_is_announced_by_its_last_will(broker: Mosquitto, tmp_path: Path) -> None:
    raw = HostRecorder(broker.port, BASE)
    with DaemonProcess(
        write_site(tmp_path, broker.url, 'name = "test"\nsource = "gst: videotestsrc is-live=true"')
    ) as daemon:
        raw.wait_for(lambda: bool(raw.availability))
        daemon.process.kill()
        raw.wait_for(lambda: len(raw.availability) > 1)
    assert raw.availability == ["online", "offline"]
    raw.close()


def test_a_late_last_will_cannot_mark_a_living_daemon_dead(broker: Mosquitto, tmp_path: Path) -> None:
    """The first one vanishes without a disconnect, as in a power cut; the second takes over its session."""
    raw = HostRecorder(broker.port, BASE)
    camera = 'name = "t"\nsource = "gst: videotestsrc is-live=true"'
    with DaemonProcess(write_site(tmp_path, broker.url, camera, extra="keepalive_s = 5")) as first:
        raw.wait_for(lambda: bool(raw.availability))
        with DaemonProcess(write_site(tmp_path, broker.url, camera)) as twin:
            assert twin.wait() == 78
        assert "outbox: another edge-tdn keeps its events there" in twin.log()
        first.process.send_signal(signal.SIGSTOP)
        (tmp_path / "other").mkdir()
        with DaemonProcess(write_site(tmp_path / "other", broker.url, camera)):
            raw.wait_for(lambda: raw.availability.count("online") == 2)
            # The broker has closed the first one's connection, and sent its will if it does so at all.
            raw.wait_for(lambda: not _linked(first, broker))
            raw.synchronize()
            states = raw.availability.copy()  # before the second daemon is killed, and its last will is sent
    assert states in (["online", "online"], ["online", "offline", "online"])
    raw.close()


def _linked(daemon: DaemonProcess, broker: Mosquitto) -> bool:
    """Return True while the broker keeps its connection open; the process itself may be stopped."""
    connections = psutil.Process(daemon.process.pid).net_connections("tcp")
    return any(one.raddr and one.raddr.port == broker.port and one.status == "ESTABLISHED" for one in connections)


def test_without_a_broker_cameras_run_and_a_stop_takes_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[broker]\nurl = "mqtt://127.0.0.1:1"\n[[camera]]\nname = "t"\nsource = "gst: videotestsrc is-live=true"'
    )
    with DaemonProcess(path) as daemon:
        daemon.wait_for_log("camera=t state=streaming")
        daemon.wait_for_log("broker=127.0.0.1:1 unreachable: Connection refused")
        assert daemon.terminate() == 0


def reported_sizes(raw: HostRecorder) -> list[tuple[int, int]]:
    return [(status["width"], status["height"]) for status in raw.of("t", "status") if status["width"]]


def test_a_size_change_empties_the_window_and_the_camera_continues(broker: Mosquitto, tmp_path: Path) -> None:
    sizes = " ".join(
        f"videotestsrc num-buffers=90 is-live=true ! video/x-raw,width={w},height={h},framerate=30/1 ! c."
        for w, h in ((320, 240), (641, 361))
    )
    raw = HostRecorder(broker.port, BASE)
    with DaemonProcess(
        write_site(tmp_path, broker.url, f'name = "t"\nsource = "gst: {sizes} concat name=c"')
    ) as daemon:
        raw.wait_for(lambda: {*reported_sizes(raw)} == {(320, 240), (641, 361)})
        raw.wait_for(lambda: raw.of("t", "status")[-1]["gaps"] >= 1)
        daemon.log()
    raw.close()
