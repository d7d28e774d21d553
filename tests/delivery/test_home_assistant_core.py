"""Home Assistant's own code reads our documents and payloads, through a real broker.

It needs a Python of its own, because it pins its dependencies. For example:

    python3.13 -m venv ha && ha/bin/pip install homeassistant paho-mqtt
    EDGE_TDN_HOME_ASSISTANT=ha/bin/python python -m pytest -m homeassistant
"""

import json
import os
import queue
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_tdn.delivery.home_assistant import BIRTH, BIRTH_TOPIC, _key, documents
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.discovery import DAEMON_STATUS, camera_status_payload, discovery_site, event_payload
from tests.support.waiting import eventually

pytestmark = pytest.mark.homeassistant

LABELS = ["Pouring [something] into 'it'", "倒水", 'sağa "kaydır"']
BASE = "edge-tdn/attic.1"
ONE, TWO = "edge-tdn_attic_-1_front_-door", "edge-tdn_attic_-1_front__door"  # front.door, front_door
PICTURE = bytes(range(256))  # not decoded on the way
WAIT_S = 20


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

        eventually(is_right, WAIT_S, lambda: answer)
        return answer

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(WAIT_S)
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
        self._client.publish(topic, payload, 1, retain).wait_for_publish(WAIT_S)

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
    announced = documents(discovery_site(form, host="attic.1", cameras=["front.door", "front_door"]), LABELS)
    for topic, document in reversed(announced.items()):  # a broker may deliver what it retains in any order
        daemon.publish(topic, document)
    daemon.publish(f"{BASE}/availability", b"online")
    daemon.publish(f"{BASE}/status", json.dumps(DAEMON_STATUS).encode())
    for camera in ("front.door", "front_door"):
        daemon.publish(f"{BASE}/{camera}/status", camera_status_payload("streaming"))
        daemon.publish(f"{BASE}/{camera}/action", b"none")
    daemon.publish(f"{BASE}/front.door/snapshot", PICTURE)
    assert daemon.received.get(timeout=WAIT_S) == (BIRTH_TOPIC, BIRTH)

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
    assert daemon.received.get(timeout=WAIT_S) == (f"{BASE}/cmd/front.door/set/threshold", b'{"enter": 0.55}')
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
    assert daemon.received.get(timeout=WAIT_S) == (f"{BASE}/cmd/front.door/set/enabled", b"OFF")
    daemon.publish(f"{BASE}/front.door/status", camera_status_payload("disabled"))
    shown(enabled, "off")
    home.ask("turn_on", enabled)
    assert daemon.received.get(timeout=WAIT_S) == (f"{BASE}/cmd/front.door/set/enabled", b"ON")
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
    assert home.ask("warnings") == []
