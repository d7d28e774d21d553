"""packaging/ansible: the role is run by a real ansible-playbook on this machine, in folders of the test.

It is that of $EDGE_TDN_ANSIBLE, or of the path: `python3 -m venv ansible && ansible/bin/pip install ansible-core`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.units import unit_text, verify

pytestmark = pytest.mark.ansible

ANSIBLE = ROOT / "packaging/ansible"
CAMERA = '[[camera]]\nname = "door"\nsource = "demo:"\n'
PLAYBOOK = """
- hosts: localhost
  connection: local
  roles: [edge_tdn]
"""
SECRET = 'pass "word" $x `y` \\z'


class Play:
    """A playbook with the role, whose paths on the host are in `root`. The service is not touched."""

    def __init__(self, folder: Path) -> None:
        self.root, self._folder = folder / "root", folder
        self.root.mkdir()
        (folder / "play.yml").write_text(PLAYBOOK)
        self.variables: dict[str, object] = {
            "edge_tdn_host": "barn",
            "edge_tdn_service": False,
            "edge_tdn_site": CAMERA,
            "edge_tdn_etc": f"{self.root}/etc/edge-tdn",
            "edge_tdn_environment_file": f"{self.root}/etc/default/edge-tdn",
            "edge_tdn_credstore": f"{self.root}/etc/credstore",
            "edge_tdn_systemd": f"{self.root}/etc/systemd/system",
            "edge_tdn_cache": f"{self.root}/archives",
            "edge_tdn_check": f"{sys.executable} -m edge_tdn check --config {self.root}/etc/edge-tdn/site.toml",
        }

    def run(self, *options: str, **variables: object) -> subprocess.CompletedProcess[str]:
        extra = json.dumps(self.variables | variables)
        return run("ansible-playbook", "-i", "localhost,", *options, "-e", extra, str(self._folder / "play.yml"))

    def read(self, path: str) -> str:
        return (self.root / path).read_text()


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible; skip the test where there is none."""
    found = shutil.which(program, path=f"{os.environ.get('EDGE_TDN_ANSIBLE', '')}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"no {program}: pip install ansible-core, and set EDGE_TDN_ANSIBLE to its folder bin")
    environment = {
        "ANSIBLE_ROLES_PATH": str(ANSIBLE / "roles"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",  # which has Debian's python3-apt
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [found, *arguments], capture_output=True, text=True, timeout=600, cwd=ANSIBLE, env=os.environ | environment
    )


def changed(result: subprocess.CompletedProcess[str]) -> int:
    """Return the number of changed tasks of a run without failures."""
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.search(r"changed=(\d+) .*failed=0", result.stdout)
    assert found, result.stdout
    return int(found[1])


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def test_the_role_writes_a_configuration_that_is_valid_and_changes_nothing_the_second_time(
    play: Play, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    model = Path(shutil.copytree(ROOT / "edge_tdn/models/motion", tmp_path / "models/door-v1"))
    variables: dict[str, object] = {
        "edge_tdn_fleet": '[broker]\nurl = "mqtt://${BROKER:-broker.lan}"\nusername = "${EDGE_USER:-x}"\n'
        f'[runtime]\nmodel = "{play.root}/etc/edge-tdn/models/door-v1"\n[decide]\nenter_threshold = 0.9\n',
        "edge_tdn_site": f"[decide]\nenter_threshold = 0.8\n{CAMERA}",
        "edge_tdn_environment": {"EDGE_USER": "barn", "ODD": SECRET},
        "edge_tdn_mqtt_password": "hunter22",
        "edge_tdn_credentials": {"gate": "rtsp://me:hunter23@gate.lan/1"},
        "edge_tdn_ip_allow": ["192.168.10.5", "192.168.20.0/24"],
        "edge_tdn_models": [str(model)],
    }
    first = play.run(**variables)
    assert changed(first) > 5
    assert "hunter2" not in first.stdout + first.stderr
    assert changed(play.run("--check", "--diff", **variables)) == 0
    assert changed(play.run(**variables)) == 0

    assert (play.root / "etc/edge-tdn/models/door-v1/manifest.json").is_file()
    assert 'host = "barn"' in play.read("etc/edge-tdn/site.toml")
    assert play.read("etc/credstore/edge-tdn.site.mqtt-password") == "hunter22\n"
    assert play.read("etc/credstore/edge-tdn.site.gate") == "rtsp://me:hunter23@gate.lan/1\n"
    for path, mode in (("credstore/edge-tdn.site.gate", 0o600), ("credstore", 0o700), ("edge-tdn/site.toml", 0o644)):
        assert (play.root / "etc" / path).stat().st_mode & 0o777 == mode
    drop_in = play.read("etc/systemd/system/edge-tdn.service.d/ansible.conf")
    assert (
        "LoadCredential=gate:edge-tdn.site.gate\nIPAddressAllow=\nIPAddressAllow=localhost 192.168.10.5 192" in drop_in
    )


def test_the_environment_file_is_read_as_it_was_meant(play: Play) -> None:
    """By a shell, whose quoting systemd shares."""
    assert changed(play.run(edge_tdn_environment={"ODD": SECRET, "PORT": 9464})) > 0
    path = play.root / "etc/default/edge-tdn"
    shown = subprocess.run(
        ["sh", "-c", f'. {path}; printf %s "$ODD|$PORT"'], capture_output=True, text=True, check=True
    ).stdout
    assert shown == f"{SECRET}|9464"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_drop_in_is_accepted_by_systemd(play: Play, tmp_path: Path) -> None:
    assert changed(play.run(edge_tdn_credentials={"gate": "x"}, edge_tdn_ip_allow=["10.1.0.0/16", "fd00::/8"])) > 0
    unit = Path(shutil.copytree(play.root / "etc/systemd/system", tmp_path / "units")) / "edge-tdn.service"
    unit.write_text(re.sub(r"^DefaultInstance.*$", "", unit_text().replace("%i", "site"), flags=re.M))
    verify(unit)


def test_an_invalid_configuration_ends_the_play_with_its_error(play: Play) -> None:
    """Before the handlers reload the service."""
    result = play.run(edge_tdn_fleet="[decide]\nenter_treshold = 0.5\n")
    assert result.returncode != 0
    assert re.search(r"10-fleet\.toml:3: decide\.enter_treshold: unknown key; did you mean", result.stdout)
    assert "RUNNING HANDLER" not in result.stdout


def test_files_of_before_are_put_back_after_an_invalid_configuration(play: Play) -> None:
    """So that the host serves after a restart or reboot: those of its first play are removed again."""
    written = (
        "etc/edge-tdn/conf.d/10-fleet.toml",
        "etc/edge-tdn/site.toml",
        "etc/default/edge-tdn",
        "etc/systemd/system/edge-tdn.service.d/ansible.conf",
    )
    invalid = {
        "edge_tdn_fleet": "[decide]\nenter_treshold = 0.5\n",
        "edge_tdn_site": f"# new\n{CAMERA}",
        "edge_tdn_environment": {"PORT": 9465},
        "edge_tdn_credentials": {"gate": "rtsp://new"},
    }
    assert play.run(**invalid).returncode != 0
    assert [path for path in written if (play.root / path).exists()] == []
    assert changed(play.run(edge_tdn_environment={"PORT": 9464})) > 0
    before = {path: ((play.root / path).stat().st_mode, play.read(path)) for path in written}
    assert play.run(**invalid).returncode != 0
    assert {path: ((play.root / path).stat().st_mode, play.read(path)) for path in written} == before
    kept = [path.name for path in play.root.rglob("*~")]
    assert kept == []
    assert play.read("etc/credstore/edge-tdn.site.gate") == "rtsp://new\n"


def test_a_service_that_has_not_read_what_was_written_is_restarted_by_the_next_play(play: Play) -> None:
    """The credentials are as the play wants them, and it would find nothing changed."""
    assert changed(play.run(edge_tdn_environment={"PORT": 9464})) > 0
    assert play.run(edge_tdn_environment={"PORT": 9465}, edge_tdn_site="x").returncode != 0
    mended = play.run(edge_tdn_environment={"PORT": 9465})
    assert changed(mended) == 2
    assert re.search(r"Restart if an earlier play ended at the check\] \*+\nchanged:", mended.stdout)
    assert changed(play.run(edge_tdn_environment={"PORT": 9465})) == 0


@pytest.mark.parametrize("version", ["0.2.0", "0.1.0"])
def test_a_version_is_installed_from_its_package(version: str, play: Play, tmp_path: Path) -> None:
    """With --check, as this machine must not change: Ansible asks apt whether it could. Older versions are accepted."""
    packages = tmp_path / "packages"
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    control = tmp_path / "package/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        f"Package: edge-tdn\nVersion: {version}\nArchitecture: {architecture.strip()}\nMaintainer: test <t@t.example>\n"
        "Description: test\n"
    )
    packages.mkdir()
    (play.root / "archives").mkdir()
    name = f"edge-tdn_{version}_{architecture.strip()}.deb"
    subprocess.run(["dpkg-deb", "--build", control.parent.parent, packages / name], check=True, capture_output=True)
    result = play.run("--check", "-v", edge_tdn_version=version, edge_tdn_packages=str(packages))
    assert changed(result) > 0
    install = result.stdout.split("Install the package]")[1].split("TASK [")[0]
    assert install.split("\n", 1)[1].startswith("changed: [localhost]"), install
    assert (play.root / "archives" / name).is_file()


def test_the_example_playbook_and_inventory_are_valid() -> None:
    result = run("ansible-playbook", "--syntax-check", "-i", "inventory.yml", "site.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    listed = run("ansible-inventory", "-i", "inventory.yml", "--list")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["edge_tdn"]["hosts"] == ["barn", "mill"]
    documented = set(re.findall(r"^(edge_tdn_\w+):", (ANSIBLE / "roles/edge_tdn/defaults/main.yml").read_text(), re.M))
    assert set(re.findall(r"edge_tdn_\w+(?=:)", (ANSIBLE / "inventory.yml").read_text())) <= documented
