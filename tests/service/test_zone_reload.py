"""A daemon whose zones change while the camera streams on; with a real broker, source and network."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config.load import load
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S, EndReason, Scores
from edge_tdn.service.camera import Camera
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.zone import Zone
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import HostRecorder, RecordingClient
from tests.support.site import write_site
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
BASE = "edge-tdn/test"
CAMERA = (
    'name = "door"\nmotion_gate = false\nmax_gap_s = 5.0\n'  # the machine may be busy
    'source = "gst: videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1"\n'
)
# an action that begins with the first clip, and that no score ends
LASTS = "[decide]\nonly = ['right']\nenter_threshold = 0.0\nexit_threshold = 0.0\nmin_length_s = 0.0\ncool_down_s = 0.0"
FOUND = '[home_assistant]\ndiscovery = "device"'
KEPT = '[[camera.zone]]\nname = "kept"\nregion = [0, 0, 0.5, 1]\n'
GATE = '[[camera.zone]]\nname = "gate"\nregion = [0.5, 0, 0.5, 1]\n'
MOVED = '[[camera.zone]]\nname = "gate"\nregion = [0.5, 0.5, 0.5, 0.5]\n'
NEW = '[[camera.zone]]\nname = "new"\npolygon = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\n'


class WatchedClips:
    """The clips and breaks of a zone, between its lane and its recognition."""

    def __init__(self, zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
        self.zone = zone
        self.clips: list[Scores] = []
        self.breaks: list[EndReason] = []
        scored, broken = zone.recognition.scored, zone.recognition.broken
        self._shed = zone.feed.counts.shed

        def watched_scored(scores: Scores) -> None:
            self.clips.append(scores)
            scored(scores)

        def watched_broken(reason: EndReason) -> None:
            self.breaks.append(reason)
            broken(reason)

        monkeypatch.setattr(zone.recognition, "scored", watched_scored)
        monkeypatch.setattr(zone.recognition, "broken", watched_broken)

    def assert_complete(self) -> None:
        """Assert that each segment had its clip, but for those that the host had no time for."""
        segment_ns = self.zone.settings.spec.segment_s * NS_PER_S
        steps = [round((later.newest_ns - earlier.newest_ns) / segment_ns) for earlier, later in pairwise(self.clips)]
        missing = sum(steps) - len(steps)
        assert min(steps) >= 1
        assert missing <= self.zone.feed.counts.shed - self._shed
        assert self.breaks == []


class ZonedSite:
    """A daemon in this process that serves one camera, and what it publishes."""

    def __init__(self, folder: Path, broker: Mosquitto, *zones: str) -> None:
        self._folder, self._broker = folder, broker
        path = self._write(*zones)
        self.recorder = HostRecorder(broker.port, BASE)
        self.daemon = Daemon(load(path), folder, path)
        self._thread = threading.Thread(target=self.daemon.run, name="main loop")
        self._thread.start()

    def _write(self, *zones: str) -> Path:
        return write_site(self._folder, self._broker.url, CAMERA + "".join(zones), extra=f"{LASTS}\n{FOUND}")

    @property
    def camera(self) -> Camera:
        (camera,) = self.daemon.cameras
        return camera

    def zone(self, name: str | None) -> Zone:
        return next(zone for zone in self.camera.zones if zone.name == name)

    def reload(self, *zones: str) -> None:
        """Serve other zones."""
        before = self.recorder.wait_for(self.recorder.daemon_statuses)[-1]["config"]
        self._write(*zones)
        self.daemon.reload()

        def over() -> bool:
            config = self.recorder.daemon_statuses()[-1]["config"]
            return config != before and config["state"] != "checking"

        self.recorder.wait_for(over)
        assert self.recorder.daemon_statuses()[-1]["config"]["state"] == "in_force"

    def events(self, zone: str | None) -> list[tuple[str, str | None]]:
        """Return kind and reason of the events of a zone, all that have been decided by now."""
        last = self.daemon._running.shared.publisher.last_seq("door")
        self.recorder.wait_for(lambda: last in [0, *(one["seq"] for one in self.recorder.of("door", "events"))])
        events = self.recorder.of("door", "events")
        return [(one["type"], one["reason"]) for one in events if one.get("zone") == zone and one["type"] != "update"]

    def wait_for_clips(self, *zones: str | None, more: int = 3) -> None:
        """Wait until each zone has had further clips."""
        for name in zones:
            zone = self.zone(name)
            target = zone.clips.clips + more
            self.recorder.wait_for(lambda zone=zone, target=target: zone.clips.clips >= target)  # type: ignore[misc]

    def retained(self) -> set[str]:
        """Return the topics of zones that have a value."""
        last = {one.topic: one.payload for one in list(self.recorder.messages)}
        parts = {topic.removeprefix(f"{BASE}/door/") for topic, payload in last.items() if payload}
        return {part for part in parts if "/" in part and not part.startswith(BASE)}

    def models(self) -> list[dict[str, Any]]:
        return list(self.recorder.wait_for(self.recorder.daemon_statuses)[-1]["models"])

    def close(self) -> None:
        self.daemon.stop()
        self._thread.join(PATIENCE_S)
        self.recorder.close()


@pytest.fixture
def serve(tmp_path: Path, broker: Mosquitto) -> Iterator[Callable[..., ZonedSite]]:
    """Return a function that serves a camera with these zones; it is stopped after the test."""
    started: list[ZonedSite] = []

    def start(*zones: str) -> ZonedSite:
        started.append(ZonedSite(tmp_path, broker, *zones))
        return started[-1]

    yield start
    for one in started:
        one.close()


def assert_one_row(site: ZonedSite) -> None:
    """Assert that the numbers of all events have no gap."""
    site.recorder.synchronize()
    seqs = [one["seq"] for one in site.recorder.of("door", "events")]
    assert seqs == list(range(1, len(seqs) + 1))


def test_zones_come_move_and_leave_while_the_camera_and_the_other_zones_continue(
    serve: Callable[..., ZonedSite], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve(KEPT, GATE)
    site.wait_for_clips("kept", "gate")
    camera, kept, gate = site.camera, site.zone("kept"), site.zone("gate")
    watched = WatchedClips(kept, monkeypatch)
    site.wait_for_clips("kept")

    site.reload(KEPT, GATE, NEW)
    site.wait_for_clips("kept", "gate", "new")
    assert site.events("gate") == [("start", None)], "it continues"
    assert site.events("new") == [("start", None)]

    site.reload(KEPT, MOVED, NEW)
    site.wait_for_clips("kept", "gate", "new")
    assert site.zone("gate") is gate
    assert site.events("gate") == [("start", None), ("end", "shutdown"), ("start", None)]
    assert site.events("new") == [("start", None)]
    assert gate.size == (120, 160)
    site.recorder.wait_for(lambda: site.retained() == {"kept/action", "gate/action", "new/action"})

    site.reload(KEPT, NEW)
    site.wait_for_clips("kept", "new")
    assert site.events("gate")[-1] == ("end", "shutdown")
    site.recorder.wait_for(lambda: site.retained() == {"kept/action", "new/action"})

    watched.assert_complete()
    assert site.events("kept") == [("start", None)]
    status = site.camera.status()
    assert site.camera is camera
    assert (status.connects, status.gaps) == (1, 0)
    assert [one.zone for one in status.zones] == ["kept", "new"]
    assert len(site.daemon._running.shared.scheduler._queue.lanes) == 2
    assert_one_row(site)


def test_a_zone_may_have_another_precision_and_its_action_continues(
    serve: Callable[..., ZonedSite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window moves to the other network; both are in the daemon's status, and one that is not needed is closed."""
    site = serve(KEPT, GATE)
    site.wait_for_clips("kept", "gate")
    watched = [WatchedClips(site.zone(name), monkeypatch) for name in ("kept", "gate")]
    (first,) = site.models()
    assert (first["zones"], first["model"]["precision"]) == (2, "fp32")

    site.reload(KEPT, GATE + 'precision = "int8"\n')
    site.wait_for_clips("kept", "gate")
    fp32, int8 = site.models()
    assert fp32 == first | {"zones": 1}
    assert (int8["model"]["precision"], int8["zones"], int8["runtime"]["state"]) == ("int8", 1, "ok")
    assert [one.model.precision for one in site.camera.status().zones] == ["fp32", "int8"]
    left = site.daemon._running.networks.all[0]

    site.reload(KEPT + 'precision = "int8"\n', GATE + 'precision = "int8"\n')
    site.wait_for_clips("kept", "gate")
    (only,) = site.models()
    assert only == int8 | {"zones": 2}
    assert (
        site.daemon._running.shared.scheduler.engines == {site.daemon._running.networks.first.engine} != {left.engine}
    )

    for one in watched:
        one.assert_complete()
    for zone in ("kept", "gate"):
        assert site.events(zone) == [("start", None)]
    assert site.camera.status().connects == 1
    assert_one_row(site)


def test_a_camera_gets_zones_and_loses_them(serve: Callable[..., ZonedSite]) -> None:
    """The action of the whole picture ends, and with it what is shown on the camera's topic."""
    site = serve()
    site.wait_for_clips(None)
    site.recorder.wait_for(lambda: site.recorder.labels("door")[-1:] == ["right"])
    site.reload(KEPT, GATE)
    site.wait_for_clips("kept", "gate")
    assert site.events(None) == [("start", None), ("end", "shutdown")]
    site.recorder.wait_for(lambda: site.recorder.labels("door")[-1:] == ["right"])
    assert site.events("kept") == site.events("gate") == [("start", None)]
    site.reload()
    site.wait_for_clips(None)
    assert site.events("kept") == site.events("gate") == [("start", None), ("end", "shutdown")]
    assert site.events(None)[2:] == [("start", None)]
    site.recorder.wait_for(lambda: site.retained() == set())
    assert site.camera.status().connects == 1
    assert_one_row(site)


def test_a_reload_publishes_the_removal_of_a_zones_entities_for_home_assistant(
    serve: Callable[..., ZonedSite], broker: Mosquitto
) -> None:
    """The document of the camera's device then has only the platform of each, until the zone returns."""
    document = "homeassistant/device/edge-tdn_test_door/config"
    client = RecordingClient(broker.port, document)
    site = serve(KEPT, GATE)
    site.wait_for_clips("kept")

    def components(number: int) -> dict[str, Any]:
        site.recorder.wait_for(lambda: len(client.on(document)) > number)
        return dict(json.loads(client.on(document)[number].payload)["components"])

    def of(zone: str, found: dict[str, Any]) -> dict[str, Any]:
        return {key: one for key, one in found.items() if key.startswith(f"zone_{zone}_")}

    def without(zone: str, found: dict[str, Any]) -> dict[str, Any]:
        return {key: one for key, one in found.items() if not key.startswith(f"zone_{zone}_")}

    def removed(found: dict[str, Any]) -> dict[str, Any]:
        return {key: {"platform": one["platform"]} for key, one in found.items()}

    both = components(0)
    assert {one["platform"] for one in of("gate", both).values()} >= {"event", "binary_sensor", "sensor", "number"}
    site.reload(KEPT)
    one = components(1)
    assert one == without("gate", both) | removed(of("gate", both))
    site.reload(KEPT, NEW)
    other = components(2)
    assert of("new", other)
    assert without("new", other) == one, "a connection may have missed the removal"
    site.reload(KEPT, GATE)
    assert components(3) == both | removed(of("new", other))
    client.disconnect()


def test_a_command_sets_the_thresholds_of_a_zone(serve: Callable[..., ZonedSite]) -> None:
    site = serve(KEPT, GATE)
    site.wait_for_clips("kept")

    def ask(command: dict[str, object]) -> dict[str, Any]:
        before = len(site.recorder.on(f"{BASE}/reply"))
        site.recorder.publish(f"{BASE}/cmd/door/set/threshold", command)
        site.recorder.wait_for(lambda: len(site.recorder.on(f"{BASE}/reply")) > before)
        return dict(site.recorder.on(f"{BASE}/reply")[-1].json())

    reply = ask({"enter": 0.9, "exit": 0.8, "zone": "gate"})
    assert reply["result"] == {"camera": "door", "enter": 0.9, "exit": 0.8, "label": None, "zone": "gate"}

    def enters() -> list[float]:
        return [one["thresholds"]["enter"] for one in site.recorder.of("door", "status")[-1]["zones"]]

    site.recorder.wait_for(lambda: enters() == [0.0, 0.9])
    refused = ask({"enter": 0.9, "zone": "gat"})
    assert (refused["ok"], refused["error"]) == (False, "no zone 'gat'; did you mean 'gate'?")
    assert ask({"enter": 0.7, "exit": 0.2})["ok"]
    site.recorder.wait_for(lambda: enters() == [0.7, 0.7])


def test_the_status_of_a_daemon_has_both_precisions_and_what_each_takes(broker: Mosquitto, tmp_path: Path) -> None:
    """In a process of its own: the memory is what this grows by."""
    zones = KEPT + GATE + 'precision = "int8"\n'
    recorder = HostRecorder(broker.port, BASE)
    with closing(recorder), DaemonProcess(write_site(tmp_path, broker.url, CAMERA + zones, extra=LASTS)) as daemon:
        recorder.wait_for(lambda: {one.get("zone") for one in recorder.of("door", "events")} == {"kept", "gate"})
        status = recorder.wait_for(recorder.daemon_statuses)[-1]
        assert daemon.terminate() == 0
    assert [(one["model"]["precision"], one["zones"]) for one in status["models"]] == [("fp32", 1), ("int8", 1)]
    assert all(one["memory_mb"] > 0 for one in status["models"]), status["models"]
    assert status["model"] == status["models"][0]["model"]
    models = {one["zone"]: one["model"]["precision"] for one in recorder.of("door", "events")}
    assert models == {"kept": "fp32", "gate": "int8"}
