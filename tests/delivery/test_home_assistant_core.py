"""Home Assistant's own code reads what we tell it, through a real broker.

It wants a Python of its own, because it pins what it needs. For example:

    python3.13 -m venv ha && ha/bin/pip install homeassistant paho-mqtt
    EDGE_TDN_HOME_ASSISTANT=ha/bin/python python -m pytest -m homeassistant
"""

import json
import os
import queue
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_tdn.delivery.home_assistant import BIRTH, BIRTH_TOPIC, documents
from tests.conftest import ROOT
from tests.delivery.test_home_assistant import DAEMON, camera_status, event, site
from tests.support.broker import Mosquitto

pytestmark = pytest.mark.homeassistant

LABELS = ["Pouring [something] into 'it'", "倒水", 'sağa "kaydır"']
BASE = "edge-tdn/attic.1"
ONE, TWO = "edge-tdn_attic_-1_front_-door", "edge-tdn_attic_-1_front__door"  # front.door, front_door
PICTURE = bytes(range(256))  # nobody decodes it on the way
WAIT_S = 20


class Home:
    """A running Home Assistant."""

    def __init__(self, python: str, port: int, folder: Path) -> None:
        self._errors = (folder / "stderr").open("w+")
        self._process = subprocess.Popen(
            [python, ROOT / "tests/support/home_assistant.py", str(port), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip

    def ask(self, what: str, entity: str = "") -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"ask": what, "entity": entity}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            pytest.fail(f"Home Assistant ended: {self._errors.read()[-3000:]}")
        return json.loads(line)

    def until(self, what: str, right: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while not right(answer := self.ask(what)):
            assert time.monotonic() < deadline, answer
            time.sleep(0.05)
        return answer

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(WAIT_S)
        self._errors.close()


class Daemon:
    """In the place of the real one: says what it is told to say, in order."""

    def __init__(self, port: int) -> None:
        self.heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda client, data, m: self.heard.put((m.topic, m.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(BIRTH_TOPIC, 1), (f"{BASE}/cmd/#", 1)])

    def say(self, topic: str, payload: bytes, retain: bool = True) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(WAIT_S)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def daemon(broker: Mosquitto) -> Iterator[Daemon]:
    daemon = Daemon(broker.port)
    yield daemon
    daemon.stop()


@pytest.fixture
def home(
    broker: Mosquitto, daemon: Daemon, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> Iterator[Home]:
    python = os.environ.get("EDGE_TDN_HOME_ASSISTANT")
    if not python:
        pytest.skip("no Home Assistant: EDGE_TDN_HOME_ASSISTANT names no Python that has it")
    folder = tmp_path / "home_assistant"
    folder.mkdir()
    home = Home(python, broker.port, folder)
    record_testsuite_property("home_assistant", home.ask("version"))
    yield home
    home.stop()


@pytest.mark.parametrize("form", ["device", "component"])
def test_home_assistant_shows_what_the_daemon_says(home: Home, daemon: Daemon, form: str) -> None:
    told = documents(site(form, host="attic.1", cameras=["front.door", "front_door"]), LABELS)
    for topic, document in reversed(told.items()):  # a broker may deliver what it retains in any order
        daemon.say(topic, document)
    daemon.say(f"{BASE}/availability", b"online")
    daemon.say(f"{BASE}/status", json.dumps(DAEMON).encode())
    for camera in ("front.door", "front_door"):
        daemon.say(f"{BASE}/{camera}/status", camera_status("streaming"))
        daemon.say(f"{BASE}/{camera}/action", b"none")
    daemon.say(f"{BASE}/front.door/snapshot", PICTURE)
    assert daemon.heard.get(timeout=WAIT_S) == (BIRTH_TOPIC, BIRTH)

    entities = home.until("entities", lambda found: len(found) == 24)
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
        """The attributes of an entity, once it has one of these states."""
        return dict(home.until("states", lambda states: states.get(entity, [""])[0] in values)[entity][1])

    shown(action, "off")
    shown(label, "none")
    shown(started, "unknown")
    shown(enabled, "on")
    assert shown(fps, "25.0")["unit_of_measurement"] == "fps"
    shown(latency, "31.5")
    assert shown(state, "streaming")["reason"] == ""
    assert bytes.fromhex(home.ask("image", snapshot)) == PICTURE
    host = {key: entities[f"edge-tdn_attic_-1_{key}"] for key in ("connection", "delivery", "waiting", "started")}
    shown(host["connection"], "on")
    assert shown(host["delivery"], DAEMON["delivery"]["state"])["reason"] == DAEMON["delivery"]["reason"]
    shown(host["waiting"], "3")
    shown(host["started"], "2026-03-01T11:00:00+00:00")

    for name in LABELS:
        daemon.say(f"{BASE}/front.door/events", event("start", name), retain=False)
        daemon.say(f"{BASE}/front.door/action", name.encode())
        shown(label, name)
        shown(action, "on")
        attributes = home.ask("states")[started][1]
        assert attributes["event_type"] == name
        assert attributes["score"] == 0.75
    before = home.ask("states")[started]
    assert before[1]["event_types"] == LABELS
    daemon.say(f"{BASE}/front.door/events", event("update", LABELS[0]), retain=False)
    daemon.say(f"{BASE}/front.door/events", event("end", LABELS[0]), retain=False)
    daemon.say(f"{BASE}/front.door/events", event("start", LABELS[0], replayed=True), retain=False)
    daemon.say(f"{BASE}/front.door/action", b"none")
    shown(label, "none")
    shown(action, "off")
    assert home.ask("states")[started] == before
    assert home.ask("states")[entities[f"{TWO}_started"]][0] == "unknown"  # the other camera's

    daemon.say(f"{BASE}/front.door/status", camera_status("unreachable", "no route to host"))
    for entity in (action, label, started, snapshot):
        shown(entity, "unavailable")
    assert shown(state, "unreachable")["reason"] == "no route to host"
    shown(enabled, "on")
    shown(entities[f"{TWO}_action"], "off")
    home.ask("turn_off", enabled)
    assert daemon.heard.get(timeout=WAIT_S) == (f"{BASE}/cmd/front.door/set/enabled", b"OFF")
    daemon.say(f"{BASE}/front.door/status", camera_status("disabled"))
    shown(enabled, "off")
    home.ask("turn_on", enabled)
    assert daemon.heard.get(timeout=WAIT_S) == (f"{BASE}/cmd/front.door/set/enabled", b"ON")
    daemon.say(f"{BASE}/front.door/status", camera_status("frozen"))
    shown(enabled, "on")
    shown(action, "off")

    for word in (b"stopped", b"online", b"offline"):
        daemon.say(f"{BASE}/availability", word)
        shown(host["connection"], "on" if word == b"online" else "off")
        shown(action, "off" if word == b"online" else "unavailable")
        shown(enabled, "on" if word == b"online" else "unavailable")
        shown(host["waiting"], "3" if word == b"online" else "unavailable")

    for topic in told:
        daemon.say(topic, b"")
    home.until("entities", lambda found: not found)
    assert home.ask("complaints") == []
