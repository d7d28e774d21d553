"""The commands of the page: those of MQTT."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.page_rig import PageRig, page_rig

THRESHOLDS = "/api/camera/door/thresholds"
ENABLED = "/api/camera/door/enabled"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PageRig]:
    with page_rig(tmp_path) as running:
        yield running


def test_thresholds_are_set_as_by_mqtt(rig: PageRig) -> None:
    answer = rig.page.post(THRESHOLDS, {"enter": 0.7, "exit": 0.4, "label": "left"})
    assert answer.status == 200
    assert rig.daemon.commands == [("door/set/threshold", b'{"enter": 0.7, "exit": 0.4, "label": "left"}')]
    assert answer.content["ok"] is True
    assert answer.content["result"] == {"camera": "door", "enter": 0.7, "exit": 0.4, "label": "left"}
    lines = tomllib.loads(answer.content["toml"])
    assert lines == {"decide": {"action": [{"name": "left", "enter_threshold": 0.7, "exit_threshold": 0.4}]}}


def test_thresholds_of_all_actions_are_set(rig: PageRig) -> None:
    answer = rig.page.post(THRESHOLDS, {"enter": 0, "exit": 0})
    assert tomllib.loads(answer.content["toml"]) == {"decide": {"enter_threshold": 0.0, "exit_threshold": 0.0}}
    of_zone = rig.page.post(THRESHOLDS, {"enter": 0.5, "zone": "gate"})
    assert 'name = "gate"' in of_zone.content["toml"]


def test_a_camera_is_switched_off(rig: PageRig) -> None:
    answer = rig.page.post(ENABLED, {"enabled": False})
    assert (answer.status, answer.content) == (200, {"ok": True, "result": {"camera": "door", "enabled": False}})
    assert rig.daemon.commands == [("door/set/enabled", b'{"enabled": false}')]


@pytest.mark.parametrize(
    ("target", "body", "error"),
    [
        (THRESHOLDS, b'{"enter": 2}', "enter = 2: a number from 0 to 1"),
        (THRESHOLDS, b'{"enter": 0.5, "enter": 0.6}', "the key 'enter' occurs twice; once is allowed"),
        (THRESHOLDS, b'{"enter": 0.5, "camera": "yard"}', "unknown key 'camera': the topic names it"),
        (THRESHOLDS, b"{", "not JSON: "),
        (ENABLED, b'{"enabled": 1}', "enabled = 1: true or false"),
        (ENABLED, b"", "'' is not ON, OFF, true or false"),
    ],
)
def test_a_command_is_refused_with_the_text_of_mqtt(rig: PageRig, target: str, body: bytes, error: str) -> None:
    answer = rig.page.ask(target, "POST", body)
    assert answer.status == 422
    assert answer.error.startswith(error)


def test_a_command_for_an_unknown_camera_is_refused(rig: PageRig) -> None:
    assert rig.page.post("/api/camera/attic/enabled", {"enabled": True}).status == 404
    assert rig.daemon.commands == []


def test_too_many_commands_are_refused(rig: PageRig) -> None:
    rig.daemon.left = 1
    assert rig.page.post(ENABLED, {"enabled": True}).status == 200
    assert rig.page.post(ENABLED, {"enabled": True}).status == 429
    assert len(rig.daemon.commands) == 1


def test_a_get_changes_nothing(rig: PageRig) -> None:
    for target in (THRESHOLDS, ENABLED):
        assert rig.page.ask(f"{target}?enter=0.5&enabled=false").status == 405
    assert rig.daemon.commands == []
