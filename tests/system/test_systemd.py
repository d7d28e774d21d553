"""The systemd units: verified by systemd itself, and run in a booted container (`make test-systemd`)."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.demo.demo_clip import demo_clip
from tests.conftest import ROOT
from tests.support.machine import PYTHON, Machine
from tests.support.prometheus import missing_metrics
from tests.support.units import UNITS, verify, write_unit

BROKER = '[broker]\nurl = "mqtt://localhost:1883"\n'
CAMERA = '[[camera]]\nname = "gate"\nsource = "rtsp://10.255.255.2/stream"\n'
AWAY = '[broker]\nurl = "mqtt://10.255.255.1"\n' + CAMERA
WATCHDOG_S = 20  # of the unit


@pytest.mark.parametrize(
    ("drop_in", "exposure"), [("", 12), ("site.conf", 12), ("rtsp-cpu.conf", 10), ("cuda.conf", 15)]
)
def test_the_units_are_valid_and_expose_little(drop_in: str, exposure: int, tmp_path: Path) -> None:
    """systemd-analyze: no warning, and an exposure of at most a tenth of this."""
    unit = write_unit(tmp_path, (UNITS / drop_in).read_text() if drop_in else "")
    verify(unit)
    assessed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={exposure}", unit],
        capture_output=True,
        text=True,
    )
    assert assessed.returncode == 0, assessed.stdout + assessed.stderr
    assert "Overall exposure level" in assessed.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    booted = Machine(tmp_path_factory.mktemp("machine"))
    yield booted
    booted.close()


@pytest.mark.nspawn
@pytest.mark.timeout(900)  # the installation among it
def test_a_camera_is_served_from_inside_the_sandbox(machine: Machine) -> None:
    """GStreamer, OpenVINO, SQLite and the recorder, with the example drop-in; a crash, a frozen process, a stop."""
    clip = machine.root / "etc/edge-tdn/clip.mp4"
    shutil.copyfile(demo_clip(), clip)
    clip.chmod(0o644)
    record = '[record]\nsnapshot = true\nclip = true\nfolder = "/srv/edge-tdn"\n'
    camera = '[[camera]]\nname = "clip"\nsource = "clip.mp4"\nloop = true\n'
    unit = machine.site("live", BROKER + record + camera + "[metrics]\nport = 9464\n")
    machine.run("groupadd", "--system", "edge-tdn-recordings")
    machine.run("install", "-d", "-m", "2770", "-g", "edge-tdn-recordings", "/srv/edge-tdn")
    machine.drop_in(unit, "site.conf")
    machine.run("systemctl", "start", unit)
    assert machine.run("mosquitto_sub", "-t", "edge-tdn/+/clip/events", "-C", "1", "-W", "60")
    machine.until(lambda: " clip=" in machine.journal(unit), 60)
    assert machine.run("find", "/srv/edge-tdn", "-name", "*.mp4", "-group", "edge-tdn-recordings", "-perm", "-g=r")
    line = "1 of 1 cameras streaming; broker connected; 0 events wait"
    machine.until(lambda: machine.show(unit, "StatusText") == line, 30)
    assert machine.run("journalctl", "-q", "-u", unit, "-p", "warning") == ""
    _is_confined(machine, unit)
    fetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode())"
    assert missing_metrics(machine.run(PYTHON, "-c", fetch)) == set()

    pid = machine.show(unit, "MainPID")
    machine.run("kill", "-9", pid)
    back_s = machine.until(lambda: _has_restarted(machine, unit, pid), 60)
    load_s = float(re.findall(r"ready in ([\d.]+) s", machine.journal(unit))[-1])
    print(f"kill -9: serving again after {back_s:.1f} s, {load_s:.1f} s of which the model took")
    assert back_s <= 5 + load_s
    machine.until(lambda: machine.show(unit, "StatusText") == line, 30)

    pid = machine.show(unit, "MainPID")
    machine.run("kill", "-STOP", pid)
    back_s = machine.until(lambda: _has_restarted(machine, unit, pid), 60)
    print(f"frozen: serving again after {back_s:.1f} s")
    assert WATCHDOG_S / 2 < back_s <= WATCHDOG_S + 5 + load_s
    assert machine.show(unit, "NRestarts") == "2"
    machine.until(lambda: machine.show(unit, "StatusText") == line, 30)

    began = time.monotonic()
    machine.run("systemctl", "stop", unit)
    print(f"stop: {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began <= 5
    assert (machine.show(unit, "Result"), machine.show(unit, "ExecMainStatus")) == ("success", "0")


@pytest.mark.nspawn
def test_a_hanging_thread_causes_a_restart_with_all_stacks_in_the_journal(machine: Machine) -> None:
    """A camera thread deep in GStreamer: it opens a pipe without a writer."""
    machine.run("mkfifo", "-m", "644", "/etc/edge-tdn/pipe")
    camera = '[[camera]]\nname = "stuck"\nsource = "gst: filesrc location=/etc/edge-tdn/pipe ! decodebin"\n'
    unit = machine.site("hang", BROKER + camera)
    machine.run("systemctl", "start", unit)
    pid = machine.show(unit, "MainPID")
    back_s = machine.until(lambda: _has_restarted(machine, unit, pid), 60)
    journal = machine.journal(unit)
    machine.run("systemctl", "stop", unit, check=False)
    print(f"a thread hung: serving again after {back_s:.1f} s")
    assert WATCHDOG_S / 2 < back_s <= WATCHDOG_S + 8  # with the model's loading
    assert 'thread="camera stuck" ' in journal
    for place in ("gst_capture.py", "scheduler.py", "publisher.py", "mqtt.py", "daemon.py"):
        assert re.search(rf'{place}", line \d+ in ', journal.partition("Fatal Python error: Aborted")[2]), place


@pytest.mark.nspawn
def test_configuration_errors_are_not_restarted(machine: Machine) -> None:
    """A misspelt key, and a credential that is not there."""
    with_password = BROKER + 'username = "edge"\npassword_file = "credential:mqtt-password"\n' + CAMERA
    bad, secret = machine.site("bad", "hots = 'barn'\n" + AWAY), machine.site("secret", with_password)
    for unit, message in (
        (bad, "/etc/edge-tdn/bad.toml:1: hots: unknown key; did you mean 'host'?"),
        (secret, "broker.password_file = 'credential:mqtt-password'"),
    ):
        machine.run("systemctl", "start", unit, check=False)
        assert message in machine.journal(unit)
    time.sleep(5)  # more than RestartSec, in which a restart would happen
    for unit in (bad, secret):
        found = [machine.show(unit, key) for key in ("ActiveState", "ExecMainStatus", "NRestarts")]
        assert found == ["failed", "78", "0"], unit

    store = machine.root / "etc/credstore"
    store.mkdir(mode=0o700, exist_ok=True)
    password = store / "edge-tdn.secret.mqtt-password"
    password.touch(0o600)
    password.write_text("correct horse\n")
    machine.run("systemctl", "start", secret)
    pid = machine.show(secret, "MainPID")
    assert "horse" not in machine.run("cat", f"/proc/{pid}/environ", f"/proc/{pid}/cmdline")
    machine.run("systemctl", "stop", secret)


@pytest.mark.nspawn
def test_a_start_waits_for_neither_broker_nor_camera(machine: Machine) -> None:
    """The drop-in for network cameras gives the unit no device at all."""
    unit = machine.site("away", AWAY)
    machine.drop_in(unit, "rtsp-cpu.conf")
    assert machine.run("sh", "-c", f"systemd-analyze verify edge-tdn.service {unit} 2>&1") == ""
    machine.run("systemd-analyze", "security", "--no-pager", "--threshold=10", unit)
    machine.run("systemctl", "start", unit)  # now the model is compiled
    machine.run("systemctl", "restart", unit)
    began, ready = (int(machine.show(unit, f"{what}TimestampMonotonic")) for what in ("ExecMainStart", "ActiveEnter"))
    print(f"broker and camera away: ready after {(ready - began) / 1e6:.1f} s")
    assert (ready - began) / 1e6 <= 4
    assert machine.show(unit, "StatusText").startswith("0 of 1 cameras streaming; broker ")
    machine.run("systemctl", "stop", unit)


@pytest.mark.nspawn
def test_a_reload_changes_cameras_and_no_process(machine: Machine) -> None:
    unit = machine.site("changing", AWAY)
    machine.run("systemctl", "start", unit)
    pid = machine.show(unit, "MainPID")
    for text, status in (
        (AWAY + CAMERA.replace("gate", "yard"), "0 of 2 cameras streaming; "),
        ("hots = 'barn'\n" + AWAY, "; the new configuration was refused"),
        (AWAY, "0 of 1 cameras streaming; "),
    ):
        machine.site("changing", text)
        machine.run("systemctl", "reload", unit)
        machine.until(lambda status=status: status in machine.show(unit, "StatusText"), 20)
        machine.until(lambda: machine.show(unit, "ActiveState") == "active", 10)  # not "reloading" any more
    assert machine.show(unit, "MainPID") == pid
    machine.run("systemctl", "stop", unit)


@pytest.mark.nspawn
def test_uninstall_keeps_configuration_and_state(machine: Machine) -> None:
    def installed() -> set[str]:
        found = machine.run("find", "/usr/local", "/etc/systemd", "-name", "*edge-tdn*", "-prune")
        return {path for path in found.split() if not path.endswith(".service.d")}  # the site's own

    machine.site("away", AWAY)
    machine.run("systemctl", "enable", "edge-tdn@away", "edge-tdn")
    machine.run("systemctl", "start", "edge-tdn@away")
    assert "/usr/local/lib/systemd/system/edge-tdn.service" in installed()
    shutil.copy(ROOT / "Makefile", machine.root)
    machine.run("make", "-C", "/", "uninstall")
    assert installed() == set()
    assert machine.run("systemctl", "list-units", "--plain", "--no-legend", "edge-tdn*") == ""
    assert (machine.root / "etc/edge-tdn/site.toml").is_file()
    assert machine.run("find", "/var/lib/private/edge-tdn/away", "-name", "outbox.db")


def _has_restarted(machine: Machine, unit: str, before: str) -> bool:
    return machine.show(unit, "ActiveState") == "active" and machine.show(unit, "MainPID") not in (before, "0")


def _is_confined(machine: Machine, unit: str) -> None:
    """Assert the confinement as the kernel reports it."""
    pid = machine.show(unit, "MainPID")
    status = machine.run("cat", f"/proc/{pid}/status")
    for line in (r"Uid:\t(6[1-5]\d{3})\t\1\t\1\t\1", "NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0+$", "CapEff:\t0+$"):
        assert re.search(line, status, re.M), line
    inside = ("nsenter", "-t", pid, "-m", "sh", "-c")
    assert machine.run(*inside, "ls -A /root; ls -A /home; ls /dev/mem /dev/kmsg", check=False) == ""
    assert "Read-only" in machine.run(*inside, "touch /etc/x /usr/x 2>&1", check=False)
    assessed = machine.run("systemd-analyze", "security", "--no-pager", "--threshold=12", unit)
    assert "Overall exposure level" in assessed
