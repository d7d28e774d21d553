"""`edge-tdn doctor` beside a service: which unit serves the configuration, and what its user cannot read."""

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from edge_tdn import permission
from edge_tdn.cli.doctor import units
from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.cli.doctor.site import SiteExamination
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox.outbox import Outbox
from tests.support.command_line import camera_site
from tests.support.permissions import ordinary_user

TIMING = DoctorTiming(command_s=60.0)

SYSTEMCTL = """#!/bin/sh
cat <<END
Id=edge-tdn@other.service
LoadState=loaded
ActiveState=active
ExecStart={{ path=/usr/bin/edge-tdn ; argv[]=/usr/bin/edge-tdn run --config /etc/edge-tdn/other.toml ; }}

Id=edge-tdn@site.service
LoadState=loaded
ActiveState={active}
SubState=running
UnitFileState={enabled}
MainPID=7
NRestarts={restarts}
ExecMainStatus=78
StateDirectory=edge-tdn/site
ExecStart={{ path=/usr/bin/edge-tdn ; argv[]=/usr/bin/edge-tdn run --config {path} ; ignore_errors=no ; }}
END
"""
ANALYZE = "#!/bin/sh\necho '→ Overall exposure level for edge-tdn@site.service: 1.2 OK 🙂'\n"


Systemctl = Callable[[str], None]


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    """Return a function that makes systemd's programs print a text, on a machine without unit files of edge-tdn."""
    monkeypatch.setattr(units, "SYSTEMD", tmp_path)
    monkeypatch.setattr(units, "UNIT_FOLDERS", (tmp_path / "system",))
    monkeypatch.setattr(units, "STATE", tmp_path / "state")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def show(text: str) -> None:
        for name, script in (("systemctl", text), ("systemd-analyze", ANALYZE)):
            (tmp_path / name).write_text(script)
            (tmp_path / name).chmod(0o755)

    return show


@pytest.mark.parametrize(
    ("active", "enabled", "restarts", "expected"),
    [
        ("active", "enabled", 0, [("ok", "process 7, 0 restarts")]),
        ("active", "disabled", 3, [("warning", "3 restarts"), ("warning", "does not start with the machine")]),
        ("failed", "enabled", 0, [("warning", "failed, the last exit status was 78")]),
        ("inactive", "enabled", 0, [("warning", "inactive")]),
    ],
)
def test_the_unit_that_serves_this_configuration_is_examined(
    active: str,
    enabled: str,
    restarts: int,
    expected: list[tuple[str, str]],
    systemctl: Systemctl,
    tmp_path: Path,
) -> None:
    path = tmp_path / "site.toml"
    text = SYSTEMCTL.format(active=active, enabled=enabled, restarts=restarts, path=path)
    systemctl(text)
    *found, sandbox = units.service(path, TIMING)
    assert sandbox.message == "edge-tdn@site.service: exposure 1.2 of 10"
    assert [(one.mark, part in one.message) for one, (_, part) in zip(found, expected, strict=True)] == [
        (mark, True) for mark, _ in expected
    ]
    (other,) = units.service(tmp_path / "another.toml", TIMING)
    assert "edge-tdn@other.service (active)" in other.message


def test_the_command_that_starts_a_unit_is_quoted(systemctl: Systemctl, tmp_path: Path) -> None:
    r"""systemd writes the dash of an instance's name as \x2d."""
    text = SYSTEMCTL.format(active="inactive", enabled="enabled", restarts=0, path=tmp_path / "site.toml")
    systemctl(text.replace("edge-tdn@site", r"edge-tdn@front\\x2dyard"))
    start = next(one.remedy for one in units.service(tmp_path / "site.toml", TIMING))
    assert shlex.split(start.strip("`")) == ["systemctl", "start", r"edge-tdn@front\x2dyard.service"]


def test_a_unit_that_is_installed_and_not_loaded_is_enabled_and_not_installed_again(
    systemctl: Systemctl, tmp_path: Path
) -> None:
    systemctl("#!/bin/sh\n")
    (found,) = units.service(tmp_path / "site.toml", TIMING)
    assert (found.message, found.remedy) == ("no unit of edge-tdn is installed", "`make install` installs one")
    (tmp_path / "system").mkdir()
    (tmp_path / "system/edge-tdn.service").touch()
    (found,) = units.service(tmp_path / "site.toml", TIMING)
    assert (found.mark, found.remedy) == ("note", "`systemctl enable --now edge-tdn`")


@pytest.mark.parametrize("closed", [False, True])
def test_the_daemon_of_the_service_is_found_by_its_unit_and_its_state(
    closed: bool, systemctl: Systemctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also for a user who may not look into the service's state: then by the process of the unit."""
    monkeypatch.delenv("STATE_DIRECTORY")
    path = camera_site(tmp_path, 'host = "barn"')
    systemctl(SYSTEMCTL.format(active="active", enabled="enabled", restarts=0, path=path))
    folder = tmp_path / "state/edge-tdn/site/barn"
    outbox = Outbox(folder, OutboxConfig())
    site = SiteExamination(path, TIMING)
    if closed:
        (tmp_path / "state").chmod(0)
    try:
        with ordinary_user():
            assert [found.mark for found in site.configuration()] == ["ok"]
            assert site.config
            (found,) = site.folders(site.config)
    finally:
        (tmp_path / "state").chmod(0o700)
        outbox.close()
    pid = 7 if closed else os.getpid()
    assert site.holder == pid
    assert (found.mark, found.message.partition(":")[0]) == ("ok", str(folder))
    assert found.message.endswith(f"; a daemon is running (process {pid})")


@pytest.fixture
def etc(tmp_path: Path, systemctl: Systemctl, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is open to all, on a machine with the unit file; its `root` is hidden from services."""
    (tmp_path / "system").mkdir()
    (tmp_path / "system/edge-tdn.service").touch()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(permission, "HIDDEN", (Path(folder) / "root",))
        (Path(folder) / "root/juggling").mkdir(parents=True)
        yield Path(folder)


def of_files(path: Path) -> list[Finding]:
    site = SiteExamination(path, TIMING)
    list(site.configuration())
    assert site.config
    return [*site.files_of_service(site.config)]


def test_a_zones_model_that_the_service_cannot_read_is_named_by_the_zones_key(etc: Path) -> None:
    path = camera_site(etc)
    path.write_text(f'{path.read_text()}[[camera.zone]]\nname = "gate"\nmodel = "root/juggling"\n')
    (found,) = of_files(path)
    assert found.message.startswith(f"{path}:7: camera[0].zone[0].model = 'root/juggling': {etc}/root/juggling: ")


def test_files_that_the_service_cannot_read_are_warnings_with_the_remedy(etc: Path) -> None:
    """Its user is another than the one who runs doctor. Only where a service may be meant to serve the file."""
    (etc / "secret").touch(0o600)
    (etc / "clip.mp4").touch(0o600)
    text = '[broker]\nusername = "u"\npassword_file = "secret"\n[runtime]\nmodel = "root/juggling"\n'
    path = camera_site(etc, f'{text}[record]\nfolder = "root/clips"', source="clip.mp4")
    found = of_files(path)
    assert {one.mark for one in found} == {"warning"}
    assert [one.message.partition(": ")[2].partition(" = ")[0] for one in found] == [
        "runtime.model",
        "broker.password_file",
        "camera[0].source",
        "record.folder",
    ]
    model, secret, clip, folder = (one.remedy for one in found)
    copy = f"cp -r {etc}/root/juggling /etc/edge-tdn/models/ && sudo chmod -R a+rX /etc/edge-tdn/models/juggling"
    assert copy in model
    assert "credential:NAME" in secret
    assert f"`sudo chmod -R a+rX {etc}/clip.mp4`" in clip
    assert "ReadWritePaths=" in folder


@pytest.mark.parametrize(
    ("protect_home", "expected"),
    [
        ("yes", ["runtime.model", "camera[0].source", "record.folder"]),
        ("read-only", ["camera[0].source", "record.folder"]),
        ("no", ["camera[0].source"]),
    ],
)
@pytest.mark.parametrize("loaded", [True, False])
def test_a_unit_whose_drop_in_opens_the_homes_causes_no_warning_about_them(
    protect_home: str, expected: list[str], loaded: bool, etc: Path, systemctl: Systemctl
) -> None:
    """systemd merges the drop-ins. A unit that is not loaded yet is asked for by its whole name."""
    (etc / "clip.mp4").touch(0o600)
    text = '[runtime]\nmodel = "root/juggling"\n[record]\nfolder = "root/clips"'
    path = camera_site(etc, text, source="clip.mp4")
    shown = SYSTEMCTL.format(active="active", enabled="enabled", restarts=0, path=path)
    shown = shown.replace("SubState=", f"ProtectHome={protect_home}\nSubState=")
    only = "" if loaded else f'[ "$2" = edge-tdn@{path.stem}.service ] || [ "$2" = edge-tdn.service ] || exit 0\n'
    systemctl(shown.replace("#!/bin/sh\n", f"#!/bin/sh\n{only}"))
    found = [one.message.partition(": ")[2].partition(" = ")[0] for one in of_files(path)]
    assert found == expected


def test_readable_files_and_those_of_no_service_cause_no_warning(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = camera_site(etc, '[record]\nfolder = "clips"')
    assert of_files(path) == []
    path.chmod(0o600)
    (found,) = of_files(path)
    assert f"{path}: a service cannot read it" in found.message
    monkeypatch.setattr(units, "UNIT_FOLDERS", ())
    assert of_files(path) == []
