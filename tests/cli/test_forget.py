"""`edge-tdn forget` at a real broker: the retained messages of a host that is gone, and only these, are removed."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.__main__ import main
from edge_tdn.config.load import parse as parse_config
from edge_tdn.delivery.home_assistant import documents
from tests.support.broker import Mosquitto
from tests.support.command_line import camera_site
from tests.support.daemon import DaemonProcess
from tests.support.discovery import same_labels
from tests.support.retained import RetainedStates, camera_status, daemon_status, retained_topics, zone_status
from tests.support.waiting import PROGRAM_S, eventually


class Brokerful:
    """A broker, and hosts that have left everything there."""

    def __init__(self, broker: Mosquitto) -> None:
        self.broker = broker
        self._states = RetainedStates(broker)

    def leave(
        self,
        host: str,
        *cameras: str,
        base: str = "",
        availability: bytes = b"offline",
        discovery: str = "device",
        zones: tuple[str, ...] = (),
    ) -> set[str]:
        """Leave everything that a host retains; `zones`: of each camera. Return the topics."""
        prefix = base or f"edge-tdn/{host}"
        payloads = {f"{prefix}/availability": availability, f"{prefix}/status": daemon_status(*cameras, host=host)}
        for camera in cameras:
            status = camera_status(camera, zones=list(map(zone_status, zones)))
            payloads |= {f"{prefix}/{camera}/status": status, f"{prefix}/{camera}/action": b"none"}
            payloads[f"{prefix}/{camera}/snapshot"] = b"jpeg" * 1000
            for zone in zones:
                payloads[f"{prefix}/{camera}/{zone}/action"] = b"none"
                payloads[f"{prefix}/{camera}/{zone}/snapshot"] = b"jpeg" * 500
        content = {
            "host": host,
            "broker": {"base": base},
            "home_assistant": {"discovery": discovery},
            "record": {"snapshot": True},
            "camera": [
                {"name": camera, "source": "demo:", "zone": [{"name": zone} for zone in zones]} for camera in cameras
            ],
        }
        config = parse_config(content, "test")
        payloads |= documents(config, same_labels(config, ["left"]))
        self.leave_on(payloads)
        return set(payloads)

    def leave_on(self, payloads: dict[str, bytes]) -> None:
        self._states.leave_on(payloads)

    def forget(self, *arguments: str) -> int:
        return main(["forget", *arguments, "--broker", self.broker.url])

    @property
    def topics(self) -> set[str]:
        return retained_topics(self.broker.port)

    def close(self) -> None:
        self._states.close()


@pytest.fixture
def site(broker: Mosquitto) -> Iterator[Brokerful]:
    one = Brokerful(broker)
    yield one
    one.close()


@pytest.mark.parametrize("discovery", ["device", "component"])
def test_everything_of_a_host_is_removed_and_nothing_of_others(
    discovery: str, site: Brokerful, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names of the others begin with its name."""
    own = site.leave("attic", "door", "yard", discovery=discovery)
    others = site.leave("attic_2", "door", discovery=discovery) | site.leave("attic.b", "door", discovery=discovery)
    foreign = {"homeassistant/device/lamp/config", "homeassistant/light/lamp/x/config", "homeassistant/status"}
    site.leave_on(dict.fromkeys(foreign, b"{}"))
    assert site.topics == own | others | foreign
    assert site.forget("attic", "--yes") == 0
    assert site.topics == others | foreign
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("  ")[0] for line in lines[:-1]} == own
    assert lines[0] == "edge-tdn/attic/door/snapshot  4000 bytes"
    assert lines[-1] == f"{len(own)} removed"


def test_what_other_programs_and_hosts_retain_below_the_topic_prefix_stays(
    site: Brokerful, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prefix is `home`, which a whole house uses. A name or two are those of this project."""
    own = site.leave("barn", "door", base="home")
    other_host = site.leave("attic", "yard", base="home/attic")
    foreign = {
        "home/note": b"from the user",
        "home/kitchen/lamp/state": b"on",
        "home/kitchen/status": b'{"schema": 1, "power": "on"}',
        "home/kitchen/snapshot": b"of another program",
        "home/hall/status": b"\xff",
        "home/hall/action": b"open",
        "home/door/settings": b"{}",
        "home/door/lock/status": b"{}",
    }
    site.leave_on(foreign)
    assert site.forget("barn/kitchen", "--yes", "--base", "home") == 1
    assert "barn/kitchen: none of the 3 other retained messages below home is its" in capsys.readouterr().err
    assert site.forget("barn", "--yes", "--base", "home") == 0
    assert site.topics == other_host | set(foreign)
    others = len(foreign) + len({topic for topic in other_host if topic.startswith("home/")})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"not removed: {others} other retained messages below home", f"{len(own)} removed"]


@pytest.mark.parametrize("base", ["", "home"])
def test_the_topics_of_zones_are_removed_with_their_camera(base: str, site: Brokerful) -> None:
    """Below a prefix that a whole house uses, only those of zones that the status of their camera lists."""
    own = site.leave("attic", "door", "yard", base=base, zones=("gate", "bed.1"))
    prefix = base or "edge-tdn/attic"
    assert len([topic for topic in own if topic.startswith(f"{prefix}/door/")]) == 7
    foreign = {f"{prefix}/door/gate/settings", f"{prefix}/door/gate/x/action"}
    if base:
        foreign |= {
            f"home/{place}/{name}" for place in ("kitchen/oven", "door/lock") for name in ("action", "snapshot")
        }
    site.leave_on(dict.fromkeys(foreign, b"of another program"))
    arguments = ("--yes", "--base", base) if base else ("--yes",)
    assert site.forget("attic/door", *arguments) == 0
    of_door = {topic for topic in own if topic.startswith(f"{prefix}/door/") or "_door/" in topic}
    assert len(of_door) == 8
    assert site.topics == own - of_door | foreign
    assert site.forget("attic", *arguments) == 0
    assert site.topics == foreign


@pytest.mark.parametrize("zones", [b"3", b"[3]", b"[{}]", b'{"gate": 1}', b'[{"zone": ["gate"]}]'])
def test_a_status_of_another_program_shows_no_zone(zones: bytes, site: Brokerful) -> None:
    own = site.leave("attic", "door", base="home")
    foreign = {
        "home/hall/status": b'{"schema": 1, "camera": "hall", "zones": %s}' % zones,
        "home/hall/gate/action": b"open",
    }
    site.leave_on(foreign)
    assert site.forget("attic", "--yes", "--base", "home") == 0
    assert "home/hall/gate/action" in site.topics
    assert not own & site.topics


def test_one_camera_is_removed(site: Brokerful) -> None:
    own = site.leave("attic", "door", "door.2")
    assert site.forget("attic/door", "--yes") == 0
    of_camera = {topic for topic in own if "attic/door/" in topic or topic.endswith("edge-tdn_attic_door/config")}
    assert len(of_camera) == 4
    assert site.topics == own - of_camera


def test_a_host_that_is_online_is_refused_unless_forced(site: Brokerful, capsys: pytest.CaptureFixture[str]) -> None:
    own = site.leave("attic", "door", availability=b"online")
    assert site.forget("attic", "--yes") == 1
    assert "attic is online, and would publish everything again: stop its daemon first" in capsys.readouterr().err
    assert site.forget("attic/door", "--yes") == 1
    assert "remove it from the configuration first, or use --force" in capsys.readouterr().err
    assert site.topics == own
    earlier = {"edge-tdn/attic/earlier/status": b"{}", "edge-tdn/attic/earlier/snapshot": b"jpeg"}
    site.leave_on(earlier)
    assert site.forget("attic/earlier", "--yes") == 0, "its host does not have it any more"
    assert site.topics == own
    assert site.forget("attic", "--yes", "--force") == 0
    assert site.topics == set()


def test_documents_with_another_topic_prefix_protect_a_host_that_may_be_online(
    site: Brokerful, capsys: pytest.CaptureFixture[str]
) -> None:
    own = site.leave("attic", "door", base="home/cams", availability=b"online")
    assert site.forget("attic", "--yes") == 1
    assert "name the topic prefix home/cams, not edge-tdn/attic; use --base home/cams" in capsys.readouterr().err
    assert site.forget("attic", "--yes", "--base", "home/cams") == 1
    assert "attic is online" in capsys.readouterr().err
    site.leave_on({"home/cams/availability": b"stopped"})
    assert site.topics == own
    assert site.forget("attic", "--yes", "--base", "home/cams") == 0
    assert site.topics == set()


def test_a_name_that_left_nothing_is_an_error_with_a_suggestion(
    site: Brokerful, capsys: pytest.CaptureFixture[str]
) -> None:
    own = site.leave("attic", "door")
    assert site.forget("atic", "--yes") == 1
    assert "atic: nothing is retained below edge-tdn/atic" in (error := capsys.readouterr().err)
    assert "did you mean 'attic'?" in error
    assert site.forget("attic/dor", "--yes") == 1
    assert "it has no such camera" in capsys.readouterr().err
    assert site.topics == own


def test_nothing_is_removed_without_a_confirmation(site: Brokerful, capsys: pytest.CaptureFixture[str]) -> None:
    own = site.leave("attic", "door")
    command = [sys.executable, "-m", "edge_tdn", "forget", "attic", "--broker", site.broker.url]
    piped = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PROGRAM_S
    )
    assert piped.returncode == 1
    assert "edge-tdn/attic/door/snapshot  4000 bytes" in piped.stdout
    assert "nothing was removed; confirm with y, or use --yes" in piped.stderr
    assert site.topics == own
    for answer, status, left in ((b"n\n", 1, own), (b"\n", 1, own), (b"y\n", 0, set())):
        outside, inside = pty.openpty()
        with subprocess.Popen(command, stdin=inside, stdout=subprocess.PIPE) as process:
            os.write(outside, answer)
            assert process.wait(PROGRAM_S) == status
        os.close(outside)
        os.close(inside)
        assert site.topics == left


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_the_broker_does_not_let_go_is_named(
    protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With MQTT 3.1.1 the broker acknowledges what it rejects."""
    rules = tmp_path / "rules"
    rules.write_text("topic read #\ntopic write edge-tdn/attic/#\n")
    rules.chmod(0o600)
    broker = Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {rules}")
    site = Brokerful(broker)
    try:
        own = site.leave("attic", "door")
        kept = {topic for topic in own if topic.startswith("homeassistant/")}
        url = f"mqtt://127.0.0.1:{broker.guarded_port}"
        assert main(["forget", "attic", "--yes", "--broker", url, "--protocol", protocol]) == 1
        output = capsys.readouterr().out.replace("\n", " ")
        assert site.topics == kept
        assert all(f"still retained: {topic}: " in output for topic in kept)
        assert ("Not authorized" in output) == (protocol == "5")
        assert f"{len(own) - 2} of {len(own)} removed" in output
    finally:
        site.close()
        broker.stop()


@pytest.mark.parametrize("name", ["", "/", "attic/", "attic/door/x", "a b", "+", "#"])
def test_a_name_that_no_host_can_have_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", name, "--yes"]) == 78
    assert "HOST or HOST/CAMERA" in capsys.readouterr().err


def test_a_wildcard_never_removes_several_hosts(site: Brokerful, capsys: pytest.CaptureFixture[str]) -> None:
    own = site.leave("attic", "door")
    assert site.forget("attic", "--yes", "--base", "edge-tdn/+") == 78
    assert "--base 'edge-tdn/+': a topic without + #" in capsys.readouterr().err
    assert site.topics == own


def test_no_broker_is_exit_69(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "attic", "--yes", "--broker", "mqtt://127.0.0.1:1"]) == 69
    assert "Connection refused; is a broker running there?" in capsys.readouterr().err


def test_a_killed_daemon_is_forgotten_with_its_devices(broker: Mosquitto, tmp_path: Path) -> None:
    text = f'host = "barn"\n[broker]\nurl = "{broker.url}"\nbase = "home"\n[home_assistant]\ndiscovery = "device"'
    path = camera_site(tmp_path, f'{text}\nprefix = "ha"\n[outbox]\nfolder = "off"')
    path.write_text(path.read_text() + "loop = true\n")
    with DaemonProcess(path) as daemon:
        eventually(lambda: len(retained_topics(broker.port)) == 6, describe=daemon.log)
        assert main(["forget", "barn", "--yes", "--config", str(path)]) == 1, "it is online"
        daemon.process.kill()
    eventually(lambda: main(["forget", "barn", "--yes", "--config", str(path)]) == 0)
    assert retained_topics(broker.port) == set()
