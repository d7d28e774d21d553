"""The state of everything, in one answer."""

from pathlib import Path

from edge_tdn.status_messages import CameraStatus, DaemonStatus
from tests.support.delivery import MODEL
from tests.support.page_rig import BOOT, ScriptedDaemon, camera_place, camera_state, page_rig, zone_place


def test_the_state_has_the_host_and_its_cameras(tmp_path: Path) -> None:
    gate = zone_place("gate", region=(0.1, 0.2, 0.5, 0.5), action="left")
    path = zone_place("path", polygon=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))
    daemon = ScriptedDaemon(
        cameras=[camera_place("door", gate, path), camera_place("yard", clips=False, snapshots=False, enabled=False)],
        statuses=[camera_state("door"), camera_state("yard", state="disabled")],
        folder=tmp_path,
    )
    with page_rig(tmp_path, daemon) as rig:
        state = rig.page.ask("/api/state").content
    assert state["boot"] == BOOT
    assert DaemonStatus.model_validate(state["host"]) == daemon.daemon_status()
    assert state["record"] == {"folder": True, "snapshot": True, "clip": True}
    assert state["teach"] is True
    door, yard = state["cameras"]
    assert CameraStatus.model_validate(door["status"]) == daemon.statuses[0]
    assert (door["name"], door["enabled"], door["clips"]) == ("door", True, True)
    assert (yard["enabled"], yard["clips"], yard["status"]["state"]) == (False, False, "disabled")
    assert [zone["zone"] for zone in door["zones"]] == ["gate", "path"]
    assert door["zones"][0]["region"] == [0.1, 0.2, 0.5, 0.5]
    assert door["zones"][1]["polygon"] == [[0, 0], [1, 0], [1, 1]]
    (whole,) = yard["zones"]
    assert whole["zone"] is None
    assert (whole["labels"], whole["actions"], whole["background"]) == (
        ["still", "left", "right"],
        ["left", "right"],
        ["still"],
    )
    assert whole["model"] == MODEL.model_dump()
    assert (whole["segment_s"], whole["hop"]) == (0.2, 1)
    assert whole["decide"]["enter_threshold"] == whole["thresholds"]["enter"] == 0.6


def test_a_camera_that_is_just_leaving_is_left_out(tmp_path: Path) -> None:
    daemon = ScriptedDaemon(cameras=[camera_place("door"), camera_place("yard")])
    with page_rig(tmp_path, daemon) as rig:
        state = rig.page.ask("/api/state").content
    assert [camera["name"] for camera in state["cameras"]] == ["door"]
    assert state["record"]["folder"] is False


def test_the_state_names_no_source_and_no_path(tmp_path: Path) -> None:
    with page_rig(tmp_path, ScriptedDaemon(folder=tmp_path)) as rig:
        body = rig.page.ask("/api/state").body.decode()
    assert str(tmp_path) not in body
    assert "demo:" not in body
