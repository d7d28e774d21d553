"""A running daemon does what it is told over the broker, and answers; restarts count on."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_tdn.delivery.mqtt import Connected, Connection, Message, Received
from edge_tdn.messages import ActionEvent, CameraStatus, DaemonStatus, Reply
from edge_tdn.service.control import Control
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.site import write_site

BASE = "edge-tdn/test"


# an action lasts until another takes its place: whenever a test looks, one is going on
GOES_ON = "[decide]\nmin_length_s = 0.0\nexit_threshold = 0.0\n"


class Dashboard:
    """Hears everything, and sends commands."""

    def __init__(self, broker: Mosquitto) -> None:
        self._connection = Connection(broker.config(), "dashboard")
        note = self._connection.notes.get(timeout=10)
        assert isinstance(note, Connected)
        self._link = note.link
        self.heard: list[Received] = []
        for topic in (f"{BASE}/#", "homeassistant/#"):
            self._link.subscribe(topic)

    def send(self, command: str, payload: bytes | dict[str, object], retain: bool = False) -> None:
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._link.publish(Message(f"{BASE}/cmd/{command}", content, retain=retain))

    def until(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, [(m.topic, m.payload[:200]) for m in self.heard[-12:]]
            time.sleep(0.02)
            while not self._connection.notes.empty():
                note = self._connection.notes.get()
                if isinstance(note, Received):
                    self.heard.append(note)

    def ask(self, command: str, payload: bytes | dict[str, object]) -> Reply:
        before = len(self.replies())
        self.send(command, payload)
        self.until(lambda: len(self.replies()) > before)
        return self.replies()[-1]

    def replies(self) -> list[Reply]:
        return [Reply.model_validate_json(m.payload) for m in self.heard if m.topic == f"{BASE}/reply"]

    def events(self) -> list[ActionEvent]:
        return [ActionEvent.model_validate_json(m.payload) for m in self.heard if m.topic == f"{BASE}/t/events"]

    def state(self) -> str:
        statuses = [m.payload for m in self.heard if m.topic == f"{BASE}/t/status"]
        return CameraStatus.model_validate_json(statuses[-1]).state if statuses else ""

    def daemon(self) -> DaemonStatus:
        return DaemonStatus.model_validate_json([m.payload for m in self.heard if m.topic == f"{BASE}/status"][-1])

    def close(self) -> None:
        self._connection.close()


def test_commands_are_done_and_answered(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_site(
        tmp_path, broker.url, 'name = "t"\nsource = "demo:"\nloop = true',
        extra=f'{GOES_ON}[home_assistant]\ndiscovery = "device"',
    )  # fmt: skip
    dashboard = Dashboard(broker)
    dashboard.send("t/set/enabled", b"OFF", retain=True)  # somebody's of yesterday
    with DaemonProcess(config) as daemon:
        dashboard.until(lambda: bool(dashboard.events()))
        assert dashboard.ask("t/set/enabled", b"OFF").result == {"camera": "t", "enabled": False}
        dashboard.until(lambda: dashboard.state() == "disabled")
        dashboard.until(lambda: dashboard.events()[-1].type == "end")
        assert b'"by command"' in [m.payload for m in dashboard.heard if m.topic == f"{BASE}/t/status"][-1]
        end = dashboard.events()[-1]
        assert (end.type, end.reason) == ("end", "disabled")

        first = dashboard.ask("replay", {"camera": "t", "from_seq": 1, "id": "again"})
        told = [event for event in dashboard.events() if not event.replayed]
        again = [event for event in dashboard.events() if event.replayed]
        assert (first.ok, first.id) == (True, "again")
        assert first.result == {"camera": "t", "from_seq": 1, "to_seq": None, "sent": len(told), "missing": 0}
        assert [event.model_copy(update={"replayed": False}) for event in again] == told
        assert dashboard.ask("replay", {"camera": "t", "from_seq": end.seq + 1}).result["sent"] == 0

        for command, payload, why in (
            ("t/set/enabled", b"maybe", "a command is a JSON object, in braces"),
            ("door/set/enabled", b"ON", "unknown camera 'door'; allowed: t"),
            ("t/set/threshold", {"enter": 0.5, "exit": 0.4, "label": "lift"}, "did you mean 'left'?"),
            ("t/set/threshold", {"enter": 0.3, "exit": 0.4}, "exit 0.4 is above enter 0.3"),
            ("t/set/thresholds", {}, "allowed: replay, <camera>/set/enabled, <camera>/set/threshold"),
        ):
            reply = dashboard.ask(command, payload)  # type: ignore[arg-type]
            assert not reply.ok
            assert why in reply.error
            assert reply.command == command

        labels = ["left", "right", "up", "down", "approach", "recede"]
        assert dashboard.ask("t/set/threshold", {"enter": 0.0, "exit": 0.0, "label": "wave"}).ok
        for label in labels:
            assert dashboard.ask("t/set/threshold", {"enter": 1.0, "exit": 1.0, "label": label}).ok
        count = len(dashboard.events())
        assert dashboard.ask("t/set/enabled", b"ON").ok
        dashboard.until(lambda: dashboard.state() == "streaming")
        dashboard.until(lambda: [event for event in dashboard.events()[count:] if not event.replayed] != [])
        assert dashboard.events()[count].label == "wave", "it starts whatever is seen"
        log = daemon.log()
        for line in (
            "INFO camera=t command=t/set/enabled enabled=False id=None",
            "INFO camera=t command=replay from_seq=1 to_seq=None id=again",
            'WARNING camera=t state=disabled reason="by command"',
            "WARNING command=door/set/enabled id=None refused: unknown camera 'door'; allowed: t",
        ):
            assert line in log
    known = {m.topic for m in dashboard.heard if m.topic.startswith("homeassistant/")}
    assert known == {"homeassistant/device/edge-tdn_test/config", "homeassistant/device/edge-tdn_test_t/config"}
    dashboard.close()


def test_a_command_that_fails_unforeseen_is_answered_and_the_next_is_done(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name, running = "t", True

        def set_enabled(self, enabled: bool) -> None:
            if enabled:
                raise RuntimeError("no such luck")

    answers: list[Reply] = []
    publisher = SimpleNamespace(reply=answers.append)
    control = Control([Broken()], publisher)  # type: ignore[list-item,arg-type]
    control.hear("t/set/enabled", b'{"enabled": true, "id": "7"}')
    control.hear("t/set/enabled", b"OFF")
    failed, done = answers
    assert (failed.ok, failed.id, failed.error) == (False, "7", "internal error, see the daemon's log")
    assert "RuntimeError: no such luck" in caplog.text
    assert done.ok


def boots(dashboard: Dashboard) -> set[str]:
    """Starts of the daemon that began an action."""
    return {event.id.split("/")[2] for event in dashboard.events()}


def test_numbers_go_on_over_restarts_and_ids_never_come_twice(broker: Mosquitto, tmp_path: Path) -> None:
    """The first is killed in the midst of an action."""
    config = write_site(tmp_path, broker.url, 'name = "t"\nsource = "demo:"\nloop = true', extra=GOES_ON)
    dashboard = Dashboard(broker)
    for boot in (1, 2):
        with DaemonProcess(config):
            dashboard.until(lambda boot=boot: len(boots(dashboard)) == boot and len(dashboard.events()) >= 3)  # type: ignore[misc]
    with DaemonProcess(config) as daemon:
        dashboard.until(lambda: dashboard.state() == "streaming")
        dashboard.until(lambda: len(boots(dashboard)) == 3)
        dashboard.until(lambda: dashboard.daemon().delivery.state == "connected")
        daemon.process.terminate()
        assert daemon.wait(30) == 0
    dashboard.until(lambda: dashboard.heard[-1].payload == b"stopped")
    seqs = [event.seq for event in dashboard.events()]
    assert list(dict.fromkeys(seqs)) == list(range(1, max(seqs) + 1))
    once = {event.seq: event for event in dashboard.events()}.values()
    starts, ends = ([event.id for event in once if event.type == kind] for kind in ("start", "end"))
    assert len(set(starts)) == len(starts)
    assert starts == ends, "also what was going on at the kill"
    assert "interrupted" in {event.reason for event in once}
    assert len(boots(dashboard)) == 3, "a boot each"
    assert dashboard.daemon().delivery.state == "connected"
    dashboard.close()
