"""docs/operate.md: its configurations load, systemd accepts its drop-ins, and its commands work at a real broker."""

import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from edge_tdn.__main__ import main
from edge_tdn.config.load import load
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.documents import Page
from tests.support.ports import free_port
from tests.support.retained import RetainedStates, camera_status, daemon_status, retained_topics
from tests.support.site import write_site
from tests.support.units import verify, write_unit
from tests.support.waiting import eventually

PAGE = Page(ROOT / "docs/operate.md")
COMMANDS = [command for command in PAGE.commands if re.match(r"edge-tdn (status|forget) ", command)]
CAMERA = 'name = "door"\nsource = "demo:"\nloop = true'
DROP_INS = PAGE.texts("ini")


@pytest.fixture
def here(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mosquitto]:
    """The broker of two hosts with the versions and models of the page; operator.toml in the current folder."""
    (operator,) = (block for block in PAGE.texts("toml") if block.startswith("# operator.toml\n"))
    assert "mqtts://broker.lan" in operator
    (tmp_path / "operator.toml").write_text(operator.replace("mqtts://broker.lan", broker.url))
    (tmp_path / "operator.password").write_text("secret\n")
    monkeypatch.chdir(tmp_path)
    states = RetainedStates(broker)
    model = {"id": "door-2026-11-02", "precision": "int8", "sha256": "0" * 64}
    for host in ("barn", "mill"):
        status = daemon_status("door", host=host, version="0.2.0", model=model)
        states.leave(f"edge-tdn/{host}", availability=b"online", status=status, door__status=camera_status("door"))
    with closing(states):
        yield broker


def test_the_files_of_barn_load_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_TDN_USER", "barn")
    (tmp_path / "conf.d").mkdir()
    for block in PAGE.texts("toml"):
        if name := re.match(r"# (site\.toml|yard\.toml|conf\.d/\S+)", block):
            (tmp_path / name[1]).write_text(block.replace("/etc/edge-tdn/", ""))
    yard, config = load(tmp_path / "yard.toml"), load(tmp_path / "site.toml")
    assert [Path(name).name for name in config.file.read] == ["10-fleet.toml", "20-log.toml", "site.toml"]
    assert (config.host, config.broker.url, config.broker.username) == ("barn", "mqtts://broker.lan", "barn")
    assert (config.metrics.port, config.log.format, config.camera[0].name) == (9464, "json", "door")
    assert (yard.host, yard.broker.url, yard.broker.username) == ("barn-yard", "mqtts://broker.lan", "barn-yard")
    assert yard.metrics.port == 9465


@pytest.mark.parametrize("number", range(len(DROP_INS)))
def test_systemd_accepts_each_drop_in(number: int, tmp_path: Path) -> None:
    verify(write_unit(tmp_path, DROP_INS[number]))


def test_there_are_commands_and_drop_ins() -> None:
    """The parametrised tests would pass on empty lists."""
    assert len(DROP_INS) == 3
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", [command for command in COMMANDS if " status " in command])
def test_each_status_command_shows_the_hosts(command: str, here: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command)[1:]) == 0
    shown = capsys.readouterr().out
    assert "barn" in shown
    assert ("mill" in shown) == (" edge-tdn/+" in command)


def test_the_host_that_is_taken_out_of_service_leaves_the_broker(here: Mosquitto) -> None:
    states = RetainedStates(here)
    states.leave("edge-tdn/mill", availability=b"stopped")
    states.close()
    (command,) = {command for command in COMMANDS if " forget " in command}
    assert main(shlex.split(command)[1:]) == 0
    left = retained_topics(here.port)
    assert not [topic for topic in left if "mill" in topic]
    assert "edge-tdn/barn/status" in left


def test_the_exit_statuses_of_the_page_are_those_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["status", "--help"])
    shown = capsys.readouterr().out
    text = " ".join(PAGE.text.split())
    for status in (0, 1, 3, 4, 69):
        assert re.search(rf"^  {status}\b", shown, re.M), status
    assert "exit status is 0 if all is well, 1 if something has failed, 3 if a host was stopped on purpose, 69" in text


def test_the_page_lists_the_metrics_of_a_host(broker: Mosquitto, tmp_path: Path) -> None:
    """Each of them, by the name that Prometheus has for it: of a host with zones and several models, which has all."""
    listed = set(re.findall(r"`(edge_tdn_\w+)`", "\n".join(re.findall(r"^\| .*$", PAGE.text, re.M))))

    def served() -> set[str]:
        """Return the names so far: the latencies come with the first clip."""
        return set(re.findall(r"^(edge_tdn_\w+?)(?:_bucket|_sum|_count)?[{ ]", scraped(port), re.M))

    zones = '\n[[camera.zone]]\nname = "one"\n[[camera.zone]]\nname = "two"\nprecision = "int8"'
    config = write_site(tmp_path, broker.url, CAMERA + zones, extra=f"[metrics]\nport = {(port := free_port())}")
    with DaemonProcess(config):
        eventually(lambda: listed == served(), describe=lambda: listed ^ served())


def scraped(port: int) -> str:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())
    except OSError as error:
        return str(error)


def test_the_page_names_each_alert_key_and_file_as_they_are() -> None:
    rules = (ROOT / "configs/prometheus/edge-tdn.rules.yml").read_text()
    for alert in re.findall(r"`(EdgeTdn\w+)`", PAGE.text):
        assert f"alert: {alert}\n" in rules
    for path in re.findall(r"(?:configs|packaging)/[\w./-]+", PAGE.text):
        assert (ROOT / path.rstrip(".")).exists(), path
