"""The retained messages of a daemon at a real broker after its end, and after a start with another configuration."""

from pathlib import Path

import pytest

from edge_tdn.delivery.topic_record import MACHINE_ID
from tests.support.broker import Mosquitto
from tests.support.command_line import camera_site
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import RecordingClient
from tests.support.retained import retained_topics
from tests.support.waiting import eventually

SITE = """
host = "{host}"
[broker]
url = "{url}"
{base}
[home_assistant]
discovery = "{discovery}"
prefix = "{prefix}"
[record]
snapshot = {snapshot}
[decide]
enter_threshold = 0.2
exit_threshold = 0.1
"""
CAMERA = '[[camera]]\nname = "{name}"\nsource = "demo:"\nloop = true\n'
NAMES = ("availability", "status")


def topics(base: str, *cameras: str, names: tuple[str, ...] = ("action", "status")) -> set[str]:
    return {f"{base}/{name}" for name in NAMES} | {f"{base}/{camera}/{name}" for camera in cameras for name in names}


@pytest.mark.skipif(
    not MACHINE_ID.exists() or not MACHINE_ID.read_text().strip(), reason="a renamed host needs a machine id"
)
def test_another_host_name_prefix_and_fewer_cameras_leave_nothing_behind(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once: host, topic prefix, discovery prefix and form, a camera, snapshots."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    path = tmp_path / "site.toml"
    before = {"host": "barn", "base": "", "discovery": "component", "prefix": "homeassistant", "snapshot": "true"}
    path.write_text(SITE.format(url=broker.url, **before) + CAMERA.format(name="door") + CAMERA.format(name="yard"))
    published = topics("edge-tdn/barn", "door", "yard", names=("action", "status", "snapshot"))
    with DaemonProcess(path) as daemon:
        eventually(lambda: retained_topics(broker.port, "edge-tdn/#") == published, describe=daemon.log)
        entities = retained_topics(broker.port, "homeassistant/#")
        assert len(entities) > 20
        assert daemon.terminate() == 0
    assert retained_topics(broker.port) == published | entities, "a stop removes nothing"
    after = {"host": "attic", "base": 'base = "home/cams"', "discovery": "device", "prefix": "ha", "snapshot": "false"}
    path.write_text(SITE.format(url=broker.url, **after) + CAMERA.format(name="door"))
    documents = {"ha/device/edge-tdn_attic/config", "ha/device/edge-tdn_attic_door/config"}
    expected = topics("home/cams", "door") | documents
    with DaemonProcess(path) as daemon:
        eventually(lambda: retained_topics(broker.port) == expected, describe=lambda: retained_topics(broker.port))
        assert daemon.terminate() == 0


@pytest.mark.parametrize(("source", "status", "state"), [("absent.mp4", 66, b"offline"), ("demo:", 0, b"stopped")])
def test_a_daemon_that_fails_is_offline_and_one_that_has_finished_is_stopped(
    source: str, status: int, state: bytes, broker: Mosquitto, tmp_path: Path
) -> None:
    client = RecordingClient(broker.port, "edge-tdn/barn/availability")
    outbox = '[outbox]\nfolder = "off"'
    video = tmp_path / "absent.mp4"
    video.write_bytes(b"not a video")
    path = camera_site(tmp_path, f'host = "barn"\n[broker]\nurl = "{broker.url}"\n{outbox}', source=source)
    with DaemonProcess(path) as daemon:
        assert daemon.wait() == status, daemon.log()
    eventually(lambda: [one.payload for one in client.messages][-1:] == [state], describe=lambda: client.messages)
    client.disconnect()
