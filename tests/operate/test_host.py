"""What docs/operate.md says of a host, on a machine with its own systemd (`make test-systemd`)."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.documents import Page
from tests.support.machine import Machine
from tests.support.waiting import eventually

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(900)]

PAGE = Page(ROOT / "docs/operate.md")
DROP_INS = PAGE.texts("ini")
UNIT = "edge-tdn.service"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    booted = Machine(tmp_path_factory.mktemp("machine"))
    yield booted
    booted.close()


def command(beginning: str) -> str:
    """Return the one command of the page that begins so, without sudo."""
    (found,) = {line.removeprefix("sudo ") for line in PAGE.commands if re.match(rf"(sudo )?{beginning}", line)}
    return found


def wait_for(machine: Machine, text: str) -> None:
    """Wait until a line of the unit's journal contains `text`."""
    eventually(lambda: text in machine.journal(UNIT), 120, lambda: machine.journal(UNIT)[-5000:])


def reloads_of(machine: Machine) -> list[str]:
    """Return the lines of the unit's journal that systemd and the daemon write at the beginning of a reload."""
    return re.findall(r"^Reloading .*|.*is read again.*", machine.journal(UNIT), re.M)


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
    for state in ("streaming", "unreachable"):
        wait_for(machine, f'"state": "{state}"')
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
    fleet.write_text(fleet.read_text().replace('"${NOT_SET}"', "0.8"))
    machine.run("systemctl", "reload", UNIT)
    wait_for(machine, "in force: changed: decide.enter_threshold")

    machine.run("install", "-d", "-m", "700", "/etc/credstore.encrypted")
    machine.run("sh", "-c", command("printf .* systemd-creds ").replace("sudo ", ""))
    machine.run(*shlex.split(command("rm /etc/credstore/").strip()))
    drop_in(machine, "gate.conf", DROP_INS[1])
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


def test_the_ansible_role_configures_reloads_and_restarts_the_service(machine: Machine) -> None:
    """With the role's own check, by systemd-run with the credentials of the service; Ansible runs inside."""
    if not os.environ.get("EDGE_TDN_ANSIBLE"):
        pytest.skip("no ansible-playbook: pip install ansible-core, and set EDGE_TDN_ANSIBLE to its folder bin")
    shutil.copytree(Path(os.environ["EDGE_TDN_ANSIBLE"]).parent, machine.root / "opt/ansible", symlinks=True)
    shutil.copytree(ROOT / "packaging/ansible", machine.root / "opt/role")
    (machine.root / "opt/role/local.yml").write_text("- {hosts: localhost, connection: local, roles: [edge_tdn]}\n")
    for path in (f"etc/systemd/system/{UNIT}.d", "etc/edge-tdn/conf.d", "etc/credstore", "etc/credstore.encrypted"):
        shutil.rmtree(machine.root / path, ignore_errors=True)

    def play(fleet: str = "") -> str:
        variables = {
            "edge_tdn_host": "mill",
            "edge_tdn_fleet": '[broker]\nurl = "mqtt://localhost:1883"\nusername = "${EDGE_TDN_USER}"\n'
            f'password_file = "credential:mqtt-password"\n{fleet}',
            "edge_tdn_site": '[[camera]]\nname = "gate"\nsource = "credential:gate"\n'
            '[[camera]]\nname = "door"\nsource = "demo:"\nloop = true\n',
            "edge_tdn_environment": {"EDGE_TDN_USER": "mill"},
            "edge_tdn_mqtt_password": "hunter22",
            "edge_tdn_credentials": {"gate": "rtsp://me:hunter23@127.0.0.1:1/x"},
            "edge_tdn_ip_allow": ["192.168.10.0/24"],
        }
        environment = ("env", "ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3", "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8")
        ansible = ("/opt/ansible/bin/python", "-m", "ansible", "playbook", "-i", "localhost,")
        return machine.run(*environment, *ansible, "-e", json.dumps(variables), "/opt/role/local.yml", check=False)

    assert re.search(r"changed=[1-9]\d* .*failed=0", first := play()), first
    eventually(lambda: machine.show(UNIT, "StatusText").startswith("1 of 2 cameras streaming; broker connected"), 120)
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert "192.168.10.0/24" in machine.show(UNIT, "IPAddressAllow")
    pid = machine.show(UNIT, "MainPID")
    assert re.search(r"changed=0 .*failed=0", second := play()), second
    assert machine.show(UNIT, "MainPID") == pid

    assert re.search(r"changed=[1-9] .*failed=0", third := play("[decide]\nenter_threshold = 0.8\n")), third
    wait_for(machine, "in force: changed: decide.enter_threshold")
    assert machine.show(UNIT, "MainPID") == pid, "a reload is enough"
    reloads = reloads_of(machine)
    assert reloads
    refused = play("[decide]\nenter_treshold = 0.8\n")
    assert re.search(r"enter_treshold: unknown key; did you mean", refused), refused
    assert "failed=1" in refused
    assert machine.show(UNIT, "MainPID") == pid
    assert reloads_of(machine) == reloads
    assert "hunter2" not in first + second + third + refused + machine.journal(UNIT)
