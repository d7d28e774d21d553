"""Commands over the broker: a running daemon carries them out and answers; numbers continue over restarts."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_tdn.messages import ActionEvent, Reply
from edge_tdn.service.control import Control
from edge_tdn.status_messages import DaemonStatus
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import RecordingClient
from tests.support.site import write_site

BASE = "edge-tdn/test"
CAMERA = 'name = "t"\nsource = "demo:"\nloop = true'
# an action lasts until another takes its place: at any moment one is under way
ENDLESS = "[decide]\nmin_length_s = 0.0\nexit_threshold = 0.0\ncool_down_s = 0.0\n"


class Dashboard(RecordingClient):
    """Records everything, and sends commands."""

    def send(self, command: str, payload: bytes | dict[str, object], retain: bool = False) -> None:
        self.publish(f"{BASE}/cmd/{command}", payload, retain)

    def ask(self, command: str, payload: bytes | dict[str, object]) -> Reply:
        """Send a command, and return the answer."""
        before = len(self.replies())
        self.send(command, payload)
        self.wait_for(lambda: len(self.replies()) > before)
        return self.replies()[-1]

    def replies(self) -> list[Reply]:
        return [Reply.model_validate_json(one.payload) for one in self.on(f"{BASE}/reply")]

    def events(self) -> list[ActionEvent]:
        return [ActionEvent.model_validate_json(one.payload) for one in self.on(f"{BASE}/t/events")]

    def state(self) -> str:
        statuses = self.on(f"{BASE}/t/status")
        return str(statuses[-1].json()["state"]) if statuses else ""

    def daemon(self) -> DaemonStatus:
        """Return the newest status of a daemon."""
        return DaemonStatus.model_validate_json(self.on(f"{BASE}/status")[-1].payload)

    def boots(self) -> set[str]:
        """Return the starts of the daemon in which an action began."""
        return {event.id.split("/")[2] for event in self.events()}


@pytest.fixture
def dashboard(broker: Mosquitto) -> Iterator[Dashboard]:
    client = Dashboard(broker.port, f"{BASE}/#", "homeassistant/#")
    yield client
    client.close()


def test_commands_are_carried_out_and_answered(broker: Mosquitto, dashboard: Dashboard, tmp_path: Path) -> None:
    extra = f'{ENDLESS}[home_assistant]\ndiscovery = "device"'
    config = write_site(tmp_path, broker.url, CAMERA, extra=extra)
    dashboard.send("t/set/enabled", b"OFF", retain=True)  # retained since yesterday: it must not count
    with DaemonProcess(config) as daemon:
        dashboard.wait_for(dashboard.events)
        assert dashboard.ask("t/set/enabled", b"OFF").result == {"camera": "t", "enabled": False}
        dashboard.wait_for(lambda: dashboard.state() == "disabled")
        dashboard.wait_for(lambda: dashboard.events()[-1].reason == "disabled")
        assert b'"by command"' in dashboard.on(f"{BASE}/t/status")[-1].payload
        end = dashboard.events()[-1]
        assert (end.type, end.reason) == ("end", "disabled")

        first = dashboard.ask("replay", {"camera": "t", "from_seq": 1, "id": "again"})
        live = [event for event in dashboard.events() if not event.replayed]
        again = [event for event in dashboard.events() if event.replayed]
        assert (first.ok, first.id) == (True, "again")
        assert first.result == {"camera": "t", "from_seq": 1, "to_seq": None, "sent": len(live), "missing": 0}
        assert [event.model_copy(update={"replayed": False}) for event in again] == live
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
        wave = {"enter": 0.0, "exit": 0.0}
        assert dashboard.ask("t/set/threshold", {"enter": 0.0, "label": "wave"}).result == {
            "camera": "t",
            "label": "wave",
            **wave,
        }
        dashboard.wait_for(
            lambda: dashboard.on(f"{BASE}/t/status")[-1].json()["thresholds"]["actions"] == {"wave": wave}
        )
        for label in labels:
            assert dashboard.ask("t/set/threshold", {"enter": 1.0, "exit": 1.0, "label": label}).ok
        count = len(dashboard.events())
        assert dashboard.ask("t/set/enabled", b"ON").ok
        dashboard.wait_for(lambda: dashboard.state() == "streaming")
        dashboard.wait_for(lambda: [event for event in dashboard.events()[count:] if not event.replayed])
        assert dashboard.events()[count].label == "wave", "it starts whatever the camera shows"
        log = daemon.log()
        for line in (
            "INFO camera=t command=t/set/enabled enabled=False id=None",
            "INFO camera=t command=replay from_seq=1 to_seq=None id=again",
            'WARNING camera=t state=disabled reason="by command"',
            "WARNING command=door/set/enabled id=None refused: unknown camera 'door'; allowed: t",
        ):
            assert line in log
    known = {message.topic for message in dashboard.messages if message.topic.startswith("homeassistant/")}
    assert known == {"homeassistant/device/edge-tdn_test/config", "homeassistant/device/edge-tdn_test_t/config"}


def test_numbers_continue_over_restarts_and_ids_are_never_reused(
    broker: Mosquitto, dashboard: Dashboard, tmp_path: Path
) -> None:
    """The first two daemons are killed in the middle of an action."""
    config = write_site(tmp_path, broker.url, CAMERA, extra=ENDLESS)
    for boot in (1, 2):
        with DaemonProcess(config):
            dashboard.wait_for(lambda boot=boot: len(dashboard.boots()) == boot and len(dashboard.events()) >= 3)  # type: ignore[misc]
    killed = dashboard.boots()
    with DaemonProcess(config) as daemon:
        dashboard.wait_for(lambda: dashboard.state() == "streaming")
        dashboard.wait_for(lambda: len(dashboard.boots()) == 3 and dashboard.daemon().boot not in killed)
        dashboard.wait_for(lambda: dashboard.daemon().delivery.state == "connected")
        assert daemon.terminate() == 0
    dashboard.wait_for(lambda: dashboard.messages[-1].payload == b"stopped")
    seqs = [event.seq for event in dashboard.events()]
    assert list(dict.fromkeys(seqs)) == list(range(1, max(seqs) + 1))
    once = {event.seq: event for event in dashboard.events()}.values()
    starts, ends = ([event.id for event in once if event.type == kind] for kind in ("start", "end"))
    assert len(set(starts)) == len(starts)
    assert starts == ends, "also the actions that a kill interrupted"
    assert "interrupted" in {event.reason for event in once}
    assert len(dashboard.boots()) == 3, "a boot each"
    assert dashboard.daemon().delivery.state == "connected"


# Without a broker


class StubCamera:
    """A camera that fails when it is enabled."""

    name, running = "t", True

    def __init__(self) -> None:
        self.enabled = True

    def set_enabled(self, enabled: bool) -> None:
        if enabled:
            raise RuntimeError("no such luck")
        self.enabled = enabled

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(reason="the video is over")


class StubControl:
    """A control of one camera, and its answers."""

    def __init__(self) -> None:
        self.camera = StubCamera()
        self.answers: list[Reply] = []
        self.control = Control(SimpleNamespace(reply=self.answers.append))  # type: ignore[arg-type]
        self.control.serve([self.camera])  # type: ignore[list-item]


def test_a_command_that_fails_unexpectedly_is_answered_and_the_next_is_carried_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = StubControl()
    one.control.handle("t/set/enabled", b'{"enabled": true, "id": "7"}')
    one.control.handle("t/set/enabled", b"OFF")
    failed, done = one.answers
    assert (failed.ok, failed.id, failed.error) == (False, "7", "internal error, see the daemon's log")
    assert "RuntimeError: no such luck" in caplog.text
    assert done.ok
    assert not one.camera.enabled


def test_a_camera_whose_source_has_ended_cannot_be_enabled() -> None:
    one = StubControl()
    one.camera.running = False
    one.control.handle("t/set/enabled", b"OFF")
    (answer,) = one.answers
    assert (answer.ok, answer.error) == (False, "t: its source has ended: the video is over")


def test_commands_for_a_camera_that_was_removed_are_refused() -> None:
    one = StubControl()
    one.control.serve([])
    one.control.handle("t/set/enabled", b"OFF")
    (answer,) = one.answers
    assert not answer.ok
    assert "unknown camera 't'" in answer.error


def test_a_command_of_the_page_is_answered_and_not_published() -> None:
    one = StubControl()
    reply = one.control.answer("t/set/enabled", b'{"enabled": false, "id": "p"}')
    assert (reply.ok, reply.id, reply.result) == (True, "p", {"camera": "t", "enabled": False})
    assert not one.camera.enabled
    refused = one.control.answer("door/set/enabled", b"OFF")
    assert (refused.ok, refused.error) == (False, "unknown camera 'door'; allowed: t")
    assert one.answers == []


def test_the_page_gets_no_replay() -> None:
    one = StubControl()
    reply = one.control.answer("replay", b'{"camera": "t", "from_seq": 1}')
    assert (reply.ok, reply.error) == (False, "replay is a command of MQTT alone")


def test_the_page_and_mqtt_have_twenty_commands_together() -> None:
    """The first beyond the limit is answered on MQTT, although the page was refused before it."""
    one = StubControl()
    assert all(one.control.admits() for _ in range(12))
    for _ in range(8):
        one.control.handle("t/set/enabled", b"OFF")
    assert [reply.ok for reply in one.answers] == [True] * 8
    assert not one.control.admits()
    one.control.handle("t/set/enabled", b"OFF")
    one.control.handle("t/set/enabled", b"OFF")
    assert [reply.ok for reply in one.answers] == [*[True] * 8, False]
    assert "more than 20 commands in 10 s" in one.answers[-1].error
