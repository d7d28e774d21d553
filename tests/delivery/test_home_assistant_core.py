"""Home Assistant's own code reads our documents and payloads, through a real broker.

It needs a Python of its own, because it pins its dependencies. For example:

    python3.13 -m venv ha && ha/bin/pip install homeassistant paho-mqtt
    EDGE_TDN_HOME_ASSISTANT=ha/bin/python python -m pytest -m homeassistant
"""

import json
import os
import queue
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_tdn.delivery.home_assistant import BIRTH, BIRTH_TOPIC, _key, documents
from edge_tdn.delivery.removed_entities import removing
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.discovery import DAEMON_STATUS, camera_status_payload, discovery_site, event_payload, same_labels
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.homeassistant

LABELS = ["Pouring [something] into 'it'", "倒水", 'sağa "kaydır"']
BASE = "edge-tdn/attic.1"
ONE, TWO = "edge-tdn_attic_-1_front_-door", "edge-tdn_attic_-1_front__door"  # front.door, front_door
PICTURE = bytes(range(256))  # not decoded on the way
CONFIGS = ROOT / "configs/home-assistant"


class HomeAssistant:
    """A running Home Assistant."""

    def __init__(self, python: str, port: int, folder: Path) -> None:
        self._errors = (folder / "stderr").open("w+")
        self._process = subprocess.Popen(
            [python, ROOT / "tests/support/home_assistant.py", str(port), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, what: str, entity: str = "", **more: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"ask": what, "entity": entity, **more}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            pytest.fail(f"Home Assistant ended: {self._errors.read()[-3000:]}")
        return json.loads(line)

    def until(self, what: str, right: Callable[[Any], bool]) -> Any:
        """Return the first answer for which `right` is true."""
        answer: Any = None

        def is_right() -> bool:
            nonlocal answer
            answer = self.ask(what)
            return right(answer)

        eventually(is_right, describe=lambda: answer)
        return answer

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._errors.close()


class FakeDaemon:
    """A client in place of the real daemon: publishes in order, and records commands and the birth message."""

    def __init__(self, port: int) -> None:
        self.received: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda client, data, m: self.received.put((m.topic, m.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(BIRTH_TOPIC, 1), (f"{BASE}/cmd/#", 1)])

    def publish(self, topic: str, payload: bytes, retain: bool = True) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE_S)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def daemon(broker: Mosquitto) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(broker.port)
    yield daemon
    daemon.stop()


@pytest.fixture
def home(
    broker: Mosquitto, daemon: FakeDaemon, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> Iterator[HomeAssistant]:
    python = os.environ.get("EDGE_TDN_HOME_ASSISTANT")
    if not python:
        pytest.skip("no Home Assistant: set EDGE_TDN_HOME_ASSISTANT to a Python that has it")
    folder = tmp_path / "home_assistant"
    folder.mkdir()
    home = HomeAssistant(python, broker.port, folder)
    record_testsuite_property("home_assistant", home.ask("version"))
    yield home
    home.stop()


@pytest.mark.parametrize("form", ["device", "component"])
def test_home_assistant_shows_the_daemons_messages(home: HomeAssistant, daemon: FakeDaemon, form: str) -> None:
    config = discovery_site(form, host="attic.1", cameras=["front.door", "front_door"])
    announced = documents(config, same_labels(config, LABELS))
    for topic, document in reversed(announced.items()):  # a broker may deliver what it retains in any order
        daemon.publish(topic, document)
    daemon.publish(f"{BASE}/availability", b"online")
    daemon.publish(f"{BASE}/status", json.dumps(DAEMON_STATUS).encode())
    for camera in ("front.door", "front_door"):
        daemon.publish(f"{BASE}/{camera}/status", camera_status_payload("streaming"))
        daemon.publish(f"{BASE}/{camera}/action", b"none")
    daemon.publish(f"{BASE}/front.door/snapshot", PICTURE)
    assert daemon.received.get(timeout=PATIENCE_S) == (BIRTH_TOPIC, BIRTH)

    entities = home.until("entities", lambda found: len(found) == 38)
    assert home.ask("devices") == {
        "edge-tdn_attic_-1": ["attic.1", None],
        ONE: ["front.door", "edge-tdn_attic_-1"],
        TWO: ["front_door", "edge-tdn_attic_-1"],
    }
    started, action, label, enabled, state, fps, latency, snapshot = (
        entities[f"{ONE}_{key}"]
        for key in ("started", "action", "label", "enabled", "state", "fps", "latency", "snapshot")
    )

    def shown(entity: str, *values: str) -> dict[str, Any]:
        """Return the attributes of an entity, once it has one of these states."""
        return dict(home.until("states", lambda states: states.get(entity, [""])[0] in values)[entity][1])

    shown(action, "off")
    shown(label, "none")
    shown(started, "unknown")
    shown(enabled, "on")
    assert shown(fps, "25.0")["unit_of_measurement"] == "fps"
    shown(latency, "31.5")
    sensors = {name: entities[f"{ONE}_action_{_key(name)}"] for name in LABELS}
    for sensor in sensors.values():
        shown(sensor, "off")
    threshold = entities[f"{ONE}_threshold"]
    assert shown(threshold, "0.6")["exit"] == 0.4
    assert entities[f"{ONE}_threshold_{_key(LABELS[0])}"] not in home.ask("states"), "disabled"
    home.ask("set_value", threshold, value=0.55)
    assert daemon.received.get(timeout=PATIENCE_S) == (f"{BASE}/cmd/front.door/set/threshold", b'{"enter": 0.55}')
    daemon.publish(f"{BASE}/front.door/status", camera_status_payload("streaming", enter=0.55))
    shown(threshold, "0.55")
    assert shown(state, "streaming")["reason"] == ""
    assert bytes.fromhex(home.ask("image", snapshot)) == PICTURE
    host = {key: entities[f"edge-tdn_attic_-1_{key}"] for key in ("connection", "delivery", "waiting", "started")}
    shown(host["connection"], "on")
    assert shown(host["delivery"], DAEMON_STATUS["delivery"]["state"])["reason"] == DAEMON_STATUS["delivery"]["reason"]
    shown(host["waiting"], "3")
    shown(host["started"], "2026-03-01T11:00:00+00:00")

    for name in LABELS:
        daemon.publish(f"{BASE}/front.door/events", event_payload("start", name), retain=False)
        daemon.publish(f"{BASE}/front.door/action", name.encode())
        shown(label, name)
        for other, sensor in sensors.items():
            shown(sensor, "on" if other == name else "off")
        shown(action, "on")
        attributes = home.ask("states")[started][1]
        assert attributes["event_type"] == name
        assert attributes["score"] == 0.75
    before = home.ask("states")[started]
    assert before[1]["event_types"] == LABELS
    daemon.publish(f"{BASE}/front.door/events", event_payload("update", LABELS[0]), retain=False)
    daemon.publish(f"{BASE}/front.door/events", event_payload("end", LABELS[0]), retain=False)
    daemon.publish(f"{BASE}/front.door/events", event_payload("start", LABELS[0], replayed=True), retain=False)
    daemon.publish(f"{BASE}/front.door/action", b"none")
    shown(label, "none")
    shown(action, "off")
    assert home.ask("states")[started] == before
    assert home.ask("states")[entities[f"{TWO}_started"]][0] == "unknown"  # the other camera's

    daemon.publish(f"{BASE}/front.door/status", camera_status_payload("unreachable", "no route to host"))
    for entity in (action, label, started, snapshot):
        shown(entity, "unavailable")
    assert shown(state, "unreachable")["reason"] == "no route to host"
    shown(enabled, "on")
    shown(entities[f"{TWO}_action"], "off")
    home.ask("turn_off", enabled)
    assert daemon.received.get(timeout=PATIENCE_S) == (f"{BASE}/cmd/front.door/set/enabled", b"OFF")
    daemon.publish(f"{BASE}/front.door/status", camera_status_payload("disabled"))
    shown(enabled, "off")
    home.ask("turn_on", enabled)
    assert daemon.received.get(timeout=PATIENCE_S) == (f"{BASE}/cmd/front.door/set/enabled", b"ON")
    daemon.publish(f"{BASE}/front.door/status", camera_status_payload("frozen"))
    shown(enabled, "on")
    shown(action, "off")

    for word in (b"stopped", b"online", b"offline"):
        daemon.publish(f"{BASE}/availability", word)
        shown(host["connection"], "on" if word == b"online" else "off")
        shown(action, "off" if word == b"online" else "unavailable")
        shown(enabled, "on" if word == b"online" else "unavailable")
        shown(host["waiting"], "3" if word == b"online" else "unavailable")

    for topic in announced:
        daemon.publish(topic, b"")
    home.until("entities", lambda found: not found)
    again = "No device components to cleanup"  # Home Assistant removes a device with disabled entities twice
    assert [line for line in home.ask("warnings") if again not in line] == []


def test_home_assistant_shows_the_zones_of_a_camera_and_the_blueprint_notifies_of_one(
    home: HomeAssistant, daemon: FakeDaemon, tmp_path: Path
) -> None:
    """The broker retains a status from before the camera had zones."""
    blueprints = tmp_path / "home_assistant/blueprints/automation/edge-tdn"
    blueprints.mkdir(parents=True)
    shutil.copy(CONFIGS / "edge_tdn_notify.yaml", blueprints)
    zones = [{"name": "gate", "decide": {"several": True}}, {"name": "bed.1"}]
    config = discovery_site("device", "attic.1", ["front.door"], zones=zones)
    labels = {("front.door", "gate"): LABELS, ("front.door", "bed.1"): ["fall", "倒水"]}
    daemon.publish(f"{BASE}/availability", b"online")
    daemon.publish(f"{BASE}/front.door/status", camera_status_payload("streaming"))
    daemon.publish(f"{BASE}/front.door/snapshot", b"an earlier action")
    for topic, document in documents(config, labels).items():
        daemon.publish(topic, document)
    for place in ("", "gate/", "bed.1/"):
        daemon.publish(f"{BASE}/front.door/{place}action", b"none")
    for zone in ("gate", "bed.1"):
        daemon.publish(f"{BASE}/front.door/{zone}/snapshot", b"an earlier action")
    home.until("states", lambda states: states.get("sensor.front_door_bed_1_label", [""])[0] == "none")
    daemon.publish(f"{BASE}/front.door/status", camera_status_payload("streaming", zones={"gate": 0.5, "bed.1": 0.65}))
    home.until("states", lambda states: states["number.front_door_bed_1_threshold"][0] == "0.65")
    states = home.ask("states")
    assert states["number.front_door_gate_threshold"][0] == "0.5"
    assert states["number.front_door_gate_threshold"][1]["exit"] == 0.1
    assert states["number.front_door_threshold"][0] == "0.6"
    assert states["sensor.front_door_gate_latency"][0] == "50.0"
    ids = home.ask("entities")
    assert ids[f"{ONE}_zone_bed_-1_action_{_key('fall')}"] == "binary_sensor.front_door_bed_1_fall"
    gate = ids[f"{ONE}_zone_gate_action_{_key('倒水')}"]
    home.ask("set_value", "number.front_door_gate_threshold", value=0.55)
    while (command := daemon.received.get(timeout=PATIENCE_S))[0] == BIRTH_TOPIC:
        pass
    assert command == (f"{BASE}/cmd/front.door/set/threshold", b'{"enter": 0.55, "zone": "gate"}')

    home.ask("record_calls", service="notify.family")
    inputs = {"camera": ["event.front_door_gate_action_started"], "other_action": "notify.family", "media_folder": ""}
    automation = {"use_blueprint": {"path": "edge-tdn/edge_tdn_notify.yaml", "input": inputs}}
    assert home.ask("automate", files=[], settings=[automation]) == 1
    daemon.publish(f"{BASE}/front.door/events", event_payload("start", "fall", zone="bed.1"), retain=False)
    daemon.publish(f"{BASE}/front.door/bed.1/action", b"fall")
    home.until("states", lambda states: states["binary_sensor.front_door_bed_1_fall"][0] == "on")
    states = home.ask("states")
    assert states["event.front_door_bed_1_action_started"][1]["zone"] == "bed.1"
    assert states["event.front_door_action_started"][1]["zone"] == "bed.1"
    assert states["event.front_door_gate_action_started"][0] == "unknown"
    daemon.publish(f"{BASE}/front.door/events", event_payload("start", "倒水", zone="gate"), retain=False)
    home.until("states", lambda states: states[gate][0] == "on")
    daemon.publish(f"{BASE}/front.door/events", event_payload("end", "倒水", zone="bed.1"), retain=False)
    daemon.publish(f"{BASE}/front.door/gate/snapshot", PICTURE)
    ((service, data),) = home.until("calls", lambda calls: calls)
    assert (service, data["title"], data["message"]) == ("notify.family", "hall gate", "倒水 (75 %)")
    assert data["data"]["image"] == "/api/image_proxy/image.front_door_gate_snapshot"
    assert bytes.fromhex(home.ask("image", "image.front_door_gate_snapshot")) == PICTURE
    states = home.ask("states")
    assert (states[gate][0], states["sensor.front_door_bed_1_label"][0]) == ("on", "fall")

    fewer = documents(discovery_site("device", "attic.1", ["front.door"], zones=zones[1:]), labels)
    for topic, document in removing(fewer, documents(config, labels)).items():
        daemon.publish(topic, document)
    left = {key: one for key, one in ids.items() if "_zone_gate_" not in key}
    assert home.until("entities", lambda found: found.keys() == left.keys()) == left
    home.until("states", lambda states: "sensor.front_door_gate_label" not in states)
    assert home.ask("states")["sensor.front_door_bed_1_label"][0] == "fall"
    for topic, document in documents(config, labels).items():
        daemon.publish(topic, document)
    assert home.until("entities", lambda found: len(found) == len(ids)) == ids
    assert home.ask("warnings") == []


def test_the_blueprint_and_the_automation_notify_with_the_picture_of_the_event(
    home: HomeAssistant, daemon: FakeDaemon, tmp_path: Path
) -> None:
    """The start of an action comes before its picture, while the picture of an earlier one is retained."""
    blueprints = tmp_path / "home_assistant/blueprints/automation/edge-tdn"
    blueprints.mkdir(parents=True)
    shutil.copy(CONFIGS / "edge_tdn_notify.yaml", blueprints)
    config = discovery_site("device", "attic.1", ["front-door", "yard"])
    for topic, document in documents(config, same_labels(config, ["approach", "fall"])).items():
        daemon.publish(topic, document)
    daemon.publish(f"{BASE}/availability", b"online")
    for camera in ("front-door", "yard"):
        daemon.publish(f"{BASE}/{camera}/status", camera_status_payload("streaming"))
        daemon.publish(f"{BASE}/{camera}/action", b"none")
    daemon.publish(f"{BASE}/front-door/snapshot", b"an earlier action")
    home.until("states", lambda states: states.get("image.front_door_snapshot", ["unknown"])[0] != "unknown")
    home.until("states", lambda states: states.get("binary_sensor.front_door_approach", [""])[0] == "off")
    assert "event.yard_action_started" in home.ask("states")

    phone, media = home.ask("add_phone", name="Pixel 8"), Path(home.ask("media_folder"))
    for service in ("notify.mobile_app_pixel_8", "notify.family", "notify.mobile_app_phone"):
        home.ask("record_calls", service=service)

    def automation(**inputs: object) -> dict[str, object]:
        return {"use_blueprint": {"path": "edge-tdn/edge_tdn_notify.yaml", "input": inputs}}

    settings = [
        automation(
            camera=["event.front_door_action_started"],
            phones=[phone],
            other_action="notify.family",
            labels=["fall"],
            message="{{ label }} at {{ camera_name }} on {{ host }}, {{ score }} %",
            media_folder=str(media),
        ),
        automation(camera=["event.yard_action_started"], other_action="notify.family", media_folder="", cool_down=0),
    ]
    assert home.ask("automate", files=[str(CONFIGS / "automation.yaml")], settings=settings) == 3

    def start(camera: str, label: str, number: int, picture: bytes | None) -> None:
        event = json.loads(event_payload("start", label)) | {"id": f"attic.1/{camera}/b/{number}", "camera": camera}
        event["host"] = "attic.1"
        daemon.publish(f"{BASE}/{camera}/events", json.dumps(event).encode(), retain=False)
        daemon.publish(f"{BASE}/{camera}/action", label.encode())
        if picture:
            daemon.publish(f"{BASE}/{camera}/snapshot", picture)

    def calls(count: int) -> list[Any]:
        return list(home.until("calls", lambda calls: len(calls) >= count))

    start("front-door", "approach", 6, b"the approach")  # the automation's; the blueprint's takes only `fall`
    ((service, data),) = calls(1)
    assert (service, data["data"]) == (
        "notify.mobile_app_phone",
        {"image": "/api/image_proxy/image.front_door_snapshot"},
    )
    start("front-door", "fall", 107, PICTURE)
    start("front-door", "fall", 108, b"within the cool-down")
    _, app, family = calls(3)
    assert (app[0], family[0]) == ("notify.mobile_app_pixel_8", "notify.family")
    assert app[1] == family[1]
    assert (app[1]["title"], app[1]["message"]) == ("front-door", "fall at front-door on attic.1, 75 %")
    assert app[1]["data"]["image"] == "/media/local/edge-tdn/attic.1_front-door_7.jpg"
    assert (media / "edge-tdn/attic.1_front-door_7.jpg").read_bytes() == PICTURE

    start("yard", "approach", 1, b"the yard")
    start("yard", "fall", 2, None)  # without a picture: that of the approach is not of this event
    yard, without = calls(5)[3:]
    assert (yard[1]["message"], yard[1]["data"].get("image")) == (
        "approach (75 %)",
        "/api/image_proxy/image.yard_snapshot",
    )
    assert (without[1]["message"], "image" in without[1]["data"]) == ("fall (75 %)", False)

    daemon.publish(f"{BASE}/availability", b"offline")
    home.until("states", lambda states: states["event.yard_action_started"][0] == "unavailable")
    daemon.publish(f"{BASE}/availability", b"online")
    home.until("states", lambda states: states["event.yard_action_started"][0] != "unavailable")
    start("yard", "fall", 3, None)
    assert len(calls(6)) == 6, "a host that returns notifies of nothing"
    assert home.ask("warnings") == []
