"""What docs/operate.md says of a host, on a machine with its own systemd (`make test-systemd`)."""

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.support.machine import Machine
from tests.support.waiting import eventually

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(900)]

PAGE = (ROOT / "docs/operate.md").read_text()
DROP_INS = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.M | re.S)
UNIT = "edge-tdn.service"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    booted = Machine(tmp_path_factory.mktemp("machine"))
    yield booted
    booted.close()


def command(beginning: str) -> str:
    """Return the one command of the page that begins so, without sudo."""
    (found,) = {line.removeprefix("sudo ") for line in re.findall(rf"^(?:sudo )?{beginning}.*$", PAGE, re.M)}
    return found


def wait_for(machine: Machine, text: str) -> None:
    """Wait until a line of the unit's journal contains `text`."""
    eventually(lambda: text in machine.journal(UNIT), 120, lambda: machine.journal(UNIT)[-5000:])


def drop_in(machine: Machine, name: str, text: str) -> None:
    folder = machine.root / f"etc/systemd/system/{UNIT}.d"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    machine.run("systemctl", "daemon-reload")


def test_a_host_is_configured_as_the_page_says(machine: Machine) -> None:
    """Shared files, variables, a credential (also encrypted), the IP filter, JSON in the journal, a reload, `check`."""
    conf = machine.root / "etc/edge-tdn/conf.d"
    conf.mkdir(mode=0o755)
    fleet = conf / "10-fleet.toml"
    fleet.write_text(
        '[broker]\nurl = "mqtt://localhost:1883"\nusername = "${EDGE_TDN_USER}"\n'
        'password_file = "credential:mqtt-password"\n[log]\nformat = "json"\n'
    )
    site = machine.root / "etc/edge-tdn/site.toml"
    site.write_text(
        'include = ["/etc/edge-tdn/conf.d/*.toml"]\nhost = "barn"\n'
        '[[camera]]\nname = "door"\nsource = "demo:"\nloop = true\n'
        '[[camera]]\nname = "gate"\nsource = "credential:gate"\n'
    )
    for path in (fleet, site):
        path.chmod(0o644)
    (machine.root / "etc/default").mkdir(exist_ok=True)
    machine.run("sh", "-c", command("echo 'EDGE_TDN_USER").replace("sudo ", ""))
    machine.run("install", "-d", "-m", "700", "/etc/credstore")
    machine.run("sh", "-c", command("printf .* install ").replace("sudo ", ""))
    machine.run("sh", "-c", "echo rtsp://me:hunter22@127.0.0.1:1/x >/etc/credstore/edge-tdn.site.gate")
    drop_in(machine, "gate.conf", DROP_INS[0])
    drop_in(machine, "filter.conf", DROP_INS[2])

    lent = "-p LoadCredential=gate:edge-tdn.site.gate"  # that of the drop-in
    checked = machine.run(*shlex.split(command("systemd-run").replace("edge-tdn check", f"{lent} edge-tdn check")))
    assert "broker.username" in checked
    assert "configuration and model are right" in checked
    machine.run("systemctl", "start", UNIT)
    wait_for(machine, '"state": "streaming"')
    allowed = machine.show(UNIT, "IPAddressAllow")
    assert "192.168.20.0/24" in allowed
    assert "10.0.0.0/8" not in allowed
    lines = machine.journal(UNIT).splitlines()
    ours = [json.loads(line) for line in lines if line.startswith("{")]
    assert {"barn"} == {line["host"] for line in ours if "host" in line}
    assert "hunter22" not in "".join(lines)
    warnings = machine.run("journalctl", "-q", "-u", UNIT, "-p", "warning", "-o", "cat").splitlines()
    assert {json.loads(line)["level"] for line in warnings if "camera=gate" in line} == {"warning"}
    connected = machine.run("journalctl", "-q", "-u", UNIT, "-o", "cat", "--grep", "connected")
    assert "broker" in connected

    fleet.write_text(fleet.read_text() + '[decide]\nenter_threshold = "${NOT_SET}"\n')
    machine.run("systemctl", "reload", UNIT)
    wait_for(machine, "NOT_SET is not set")
    assert machine.show(UNIT, "ActiveState") == "active"
    fleet.write_text(fleet.read_text().replace("${NOT_SET}", "0.8"))
    machine.run("systemctl", "reload", UNIT)
    wait_for(machine, "in force: changed: decide.enter_threshold")

    machine.run("install", "-d", "-m", "700", "/etc/credstore.encrypted")
    machine.run("sh", "-c", command("printf .* systemd-creds ").replace("sudo ", ""))
    machine.run(*shlex.split(command("rm /etc/credstore/").strip()))
    gate = DROP_INS[1].replace("LoadCredential=\n", "LoadCredential=\nLoadCredential=gate:edge-tdn.site.gate\n")
    drop_in(machine, "gate.conf", gate)
    machine.run("systemctl", "restart", UNIT)
    machine.until(
        lambda: machine.show(UNIT, "StatusText").startswith("1 of 2 cameras streaming; broker connected"), 120
    )
    encrypted = (machine.root / "etc/credstore.encrypted/edge-tdn.site.mqtt-password").read_bytes()
    assert b"the password" not in encrypted
    machine.run(*shlex.split(command("systemctl disable --now edge-tdn")))
    assert machine.show(UNIT, "ActiveState") == "inactive"


def test_the_unit_starts_without_the_file_of_variables(machine: Machine) -> None:
    machine.run("rm", "-f", "/etc/default/edge-tdn")
    site = machine.site("plain", '[broker]\nurl = "mqtt://localhost:1883"\n[[camera]]\nname = "a"\nsource = "demo:"\n')
    machine.run("systemctl", "start", site)
    assert machine.show(site, "ActiveState") == "active"
    machine.run("systemctl", "stop", site)
