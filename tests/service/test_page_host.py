"""The daemon behind its page: what it publishes in the hub, and what it answers; with a real broker and network."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_tdn.config.load import load
from edge_tdn.delivery.commands import MAX_COMMANDS
from edge_tdn.hub.host_access import EventCursor
from edge_tdn.messages import ActionEvent
from edge_tdn.service.daemon import Daemon
from tests.support.broker import Mosquitto
from tests.support.listening_page import ListeningPage
from tests.support.mqtt import HostRecorder
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.zones import compute_all

BASE = "edge-tdn/test"
CAMERA = 'name = "door"\nsource = "demo:"\nloop = true\n'
GATE = '[[camera.zone]]\nname = "gate"\npolygon = [[0, 0], [1, 0], [1, 1]]\ndecide.enter_threshold = 0.5\n'
OFTEN = "[decide]\nmin_length_s = 0.0\nmerge_gap_s = 0.0\ncool_down_s = 0.0\n"


def site(folder: Path, broker: Mosquitto, *, zones: str = "", more: str = "") -> Path:
    web = f"[web]\nport = {free_port()}\n[record]\nsnapshot = true\nfolder = 'files'\n"
    return write_site(folder, broker.url, CAMERA + zones, extra=OFTEN + web + more)


@contextmanager
def served(path: Path, page: ListeningPage) -> Iterator[Daemon]:
    daemon = Daemon(load(path), path.parent, path, open_page=page.open)
    thread = threading.Thread(target=daemon.run, name="main loop")
    thread.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_the_page_sees_what_mqtt_has(broker: Mosquitto, tmp_path: Path) -> None:
    """States, actions, scores and events; and the scores that are kept are those that were decided on."""
    page, recorder = ListeningPage(), HostRecorder(broker.port, BASE)
    with served(site(tmp_path, broker), page):
        recorder.wait_for(lambda: len(recorder.of("door", "events")) >= 3)
        events = recorder.of("door", "events")
        eventually(lambda: len(page.notes("event")) >= len(events))
        noted = [json.loads(note.data) for note in page.notes("event")]
        assert noted[: len(events)] == events
        label = events[0]["label"]
        actions = [json.loads(note.data) for note in page.notes("action")]
        assert {"camera": "door", "zone": None, "label": None} in actions
        assert {"camera": "door", "zone": None, "label": label} in actions
        assert json.loads(page.notes("camera")[-1].data)["camera"] == "door"
        assert json.loads(page.notes("host")[0].data)["boot"] == page.hub.boot
        clip = next(one for one in map(json.loads, (n.data for n in page.notes("scores"))) if one["action"] == label)
        assert (clip["camera"], clip["zone"], clip["repeated"]) == ("door", None, False)
        assert max(clip["scores"], key=clip["scores"].get) == label
        assert clip["latency_ms"] > 0
        kept = page.hub.view("door").kept(None)
        assert kept
        scored = {json.loads(note.data)["at"] for note in page.notes("scores")}
        clips = kept.read()  # in this order: further clips come
        assert len(clips) >= len(scored) > 3
        assert (np.diff(clips.to_ns[clips.broke == 0][:4]) > 0).all()
    assert page.asked == ["start", "announce", "stop", "join"]
    recorder.close()


def test_a_frame_is_kept_while_the_page_looks(broker: Mosquitto, tmp_path: Path) -> None:
    page = ListeningPage()
    with served(site(tmp_path, broker), page):
        eventually(lambda: page.notes("scores"))
        view = page.hub.view("door")
        assert view.newest() is None
        view.look(PATIENCE_S)
        frame = eventually(view.newest)
        assert frame.picture.shape[2] == 3
        assert eventually(lambda: (now := view.newest()) and now.seq > frame.seq)
        view.look(0.0)
        eventually(lambda: view.newest() is None)


def test_a_command_of_the_page_is_one_of_mqtt(broker: Mosquitto, tmp_path: Path) -> None:
    """Same reply, same effect, one limit."""
    page, recorder = ListeningPage(), HostRecorder(broker.port, BASE)
    with served(site(tmp_path, broker), page):
        host = page.hub.host
        recorder.wait_for(lambda: recorder.state("door") == "streaming")
        reply = host.command("door/set/threshold", b'{"enter": 0.9, "exit": 0.2}')
        assert (reply.ok, reply.result) == (True, {"camera": "door", "enter": 0.9, "exit": 0.2, "label": None})
        recorder.wait_for(lambda: recorder.of("door", "status")[-1]["thresholds"]["enter"] == 0.9)
        (place,) = host.places()
        assert place.zones[0].thresholds.enter == 0.9
        refused = host.command("yard/set/enabled", b"OFF")
        assert (refused.ok, "unknown camera 'yard'" in refused.error) == (False, True)
        assert host.command("door/set/enabled", b'{"enabled": false}').ok
        recorder.wait_for(lambda: recorder.state("door") == "disabled")
        assert not host.places()[0].enabled
        assert [host.admits() for _ in range(MAX_COMMANDS + 1)] == [True] * MAX_COMMANDS + [False]
        recorder.publish(f"{BASE}/cmd/door/set/enabled", b"ON")
        reply_of_mqtt = recorder.wait_for(lambda: recorder.on(f"{BASE}/reply"))[-1].json()
        assert f"more than {MAX_COMMANDS} commands" in reply_of_mqtt["error"]
    recorder.close()


def test_the_page_reads_the_events_of_the_outbox_backwards(broker: Mosquitto, tmp_path: Path) -> None:
    page, recorder = ListeningPage(), HostRecorder(broker.port, BASE)
    with served(site(tmp_path, broker), page) as daemon:
        recorder.wait_for(lambda: len(recorder.of("door", "events")) >= 5)
        host = page.hub.host
        assert host.command("door/set/enabled", b'{"enabled": false}').ok
        recorder.wait_for(lambda: recorder.state("door") == "disabled")
        compute_all(daemon._running.shared.scheduler)  # the pause may end an action
        last = daemon._running.shared.publisher.last_seq("door")
        recorder.wait_for(lambda: recorder.of("door", "events")[-1]["seq"] == last)
        published = [ActionEvent.model_validate(event) for event in recorder.of("door", "events")]
        for camera in (None, "door"):
            found: list[ActionEvent] = []
            cursor = None
            while True:
                answer = host.events(cursor, camera, 2).result(PATIENCE_S)
                found += answer.events()
                cursor = answer.next
                if cursor is None:
                    break
            assert found == published[::-1]
        with pytest.raises(ValueError, match="the cursor s4 is not one of all cameras"):
            host.events(EventCursor.parse("s4"), None, 2)
        assert list(host.events(None, "yard", 2).result(PATIENCE_S).events()) == []
    assert host.events(None, None, 2).cancelled(), "the publisher has stopped"
    recorder.close()


def test_the_page_knows_zones_and_never_a_source(broker: Mosquitto, tmp_path: Path) -> None:
    page = ListeningPage()
    path = site(tmp_path, broker, zones=GATE)
    with served(path, page):
        host = page.hub.host
        (door,) = host.places()
        (gate,) = door.zones
        assert (gate.name, gate.polygon, gate.region) == ("gate", ((0, 0), (1, 0), (1, 1)), (0, 0, 1, 1))
        assert (gate.decide.enter_threshold, gate.thresholds.enter) == (0.5, 0.5)
        assert set(gate.actions) == set(gate.labels) - set(gate.background)
        assert (door.clips, door.main_stream, door.enabled) == (False, False, True)
        assert "demo:" not in repr(door)
        assert host.recordings() == tmp_path / "files"
        assert [status.camera for status in host.camera_statuses()] == ["door"]
        assert host.daemon_status().boot == page.hub.boot


def test_a_reload_announces_the_page_and_forgets_the_zones_that_have_left(broker: Mosquitto, tmp_path: Path) -> None:
    page = ListeningPage()
    path = site(tmp_path, broker, zones=GATE)
    with served(path, page) as daemon:
        view = page.hub.view("door")
        assert view.kept("gate")
        text = path.read_text()
        path.write_text(text.replace('"gate"', '"path"'))
        daemon.reload()
        eventually(lambda: page.asked.count("announce") == 2)
        assert view.kept("path")
        assert view.kept("gate") is None
        path.write_text(text.replace(GATE, "rotate = 180\n"))  # the camera is restarted
        daemon.reload()
        eventually(lambda: page.asked.count("announce") == 3)
        assert page.asked.count("renew") == 2
        assert view.kept(None)
        assert view.kept("path") is None
        assert page.hub.view("door") is view


def test_without_a_port_there_is_no_page(broker: Mosquitto, tmp_path: Path) -> None:
    page = ListeningPage()
    with served(write_site(tmp_path, broker.url, CAMERA), page) as daemon:
        assert daemon.page is None
    assert page.asked == []
    assert not hasattr(page, "hub")


def test_the_fault_of_the_page_is_in_the_status(broker: Mosquitto, tmp_path: Path) -> None:
    page, recorder = ListeningPage(), HostRecorder(broker.port, BASE)
    page.fault = "port 8765 is in use"
    with served(site(tmp_path, broker), page):
        recorder.wait_for(lambda: "port 8765 is in use" in [one["page_fault"] for one in recorder.daemon_statuses()])
        page.fault = ""
        recorder.wait_for(lambda: recorder.daemon_statuses()[-1]["page_fault"] == "")
    recorder.close()
