"""`edge-tdn doctor`: real brokers, cameras and models, each broken in its way, and what is said of it."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.__main__ import main
from edge_tdn.cli.doctor import broker, cameras, host
from edge_tdn.cli.doctor import site as site_module
from edge_tdn.cli.doctor.doctor import doctor
from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.cli.doctor.site import Site
from edge_tdn.config.tables import OutboxConfig, load
from edge_tdn.delivery.mqtt import Connection, Received
from edge_tdn.delivery.outbox.outbox import Outbox, holder
from edge_tdn.messages import PUBLISHED
from tests.cli.test_status import Stand, daemon
from tests.conftest import ROOT
from tests.support.authority import Authority
from tests.support.broker import Mosquitto
from tests.support.rtsp import RtspCamera

SECRET = "opensesame"
Findings = dict[str, list[Finding]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much is tried, for a shorter time; whoever answers may take longer."""
    monkeypatch.setattr(cameras, "LOOK_S", 1.0)
    monkeypatch.setattr(cameras, "LIMIT_S", 60.0)
    monkeypatch.setattr(site_module, "MEASURE_S", 0.0)
    monkeypatch.setattr(broker, "QUIET_S", 0.15)


def write(folder: Path, text: str = "", **sources: str) -> Path:
    path = folder / "site.toml"
    cameras = [f"[[camera]]\nname = {name!r}\nsource = {source!r}" for name, source in sources.items()]
    path.write_text("\n".join(['host = "barn"', text, *cameras]))
    return path


def at(url: str, more: str = "") -> str:
    return f'[broker]\nurl = "{url}"\n{more}'


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], tuple[int, Findings]]:
    """The exit status, and the findings by what was examined; no password is told, in neither form."""

    def run(path: Path) -> tuple[int, Findings]:
        status = main(["doctor", "--config", str(path), "--json"])
        told = capsys.readouterr()
        assert SECRET not in told.out + told.err
        assert told.err == ""
        document = json.loads(told.out)
        assert document["exit_status"] == status
        return status, by_name(Finding(**finding) for finding in document["findings"])

    return run


Examine = Callable[[Path], tuple[int, Findings]]


@contextmanager
def camera(password: str = "") -> Iterator[RtspCamera]:
    one = RtspCamera(password)
    try:
        yield one
    finally:
        one.kill()


def by_name(found: Iterable[Finding]) -> Findings:
    """No password is told, and what has failed has an exit status."""
    findings: Findings = {}
    for finding in found:
        assert SECRET not in repr(finding)
        assert (finding.mark == "failed") == bool(finding.exit_status)
        findings.setdefault(finding.what, []).append(finding)
    return findings


def of_broker(path: Path) -> Findings:
    """The broker's part alone."""
    site = Site(path)
    assert [one.mark for one in site.configuration()] == ["ok"]
    assert site.config
    return by_name(broker.examine(site.config, site.access, site.holder))


def marks(findings: list[Finding]) -> list[str]:
    return [finding.mark for finding in findings]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """`broker` is the part of doctor here."""
    one = Mosquitto(tmp_path)
    yield one
    one.stop()


def test_a_host_that_is_well_and_nobody_is_disturbed(
    mosquitto: Mosquitto, make_video: Callable[..., Path], examine: Examine, tmp_path: Path
) -> None:
    stand = Stand(mosquitto)
    stand.leave("edge-tdn/barn", availability=b"stopped", door__status=b"{}")
    twin = Connection(mosquitto.config(), "edge-tdn-barn")  # as the daemon's
    twin.notes.get(timeout=30).link.subscribe("edge-tdn/#")
    assert {twin.notes.get(timeout=30).topic for _ in range(2)} == {
        "edge-tdn/barn/availability", "edge-tdn/barn/door/status",
    }  # fmt: skip
    make_video(frames=30, rate=15)
    with camera() as real:
        status, found = examine(write(tmp_path, at(mosquitto.url), yard=real.url(), file="video.mp4"))
    assert status == 0
    assert marks([one for several in found.values() for one in several]).count("failed") == 0
    assert "320x240, " in found["camera yard"][0].said
    assert "decoded by " in found["camera yard"][0].said
    assert "128x96, 15.0 fps" in found["camera file"][0].said
    assert "self-test passed" in found["runtime"][0].said
    assert "2 cameras take" in found["speed"][0].said
    assert found["daemon"][0].said == "none of the name barn is online"
    assert "edge-tdn/barn/reply, edge-tdn/barn/yard/scores, edge-tdn/barn/file/scores" in found["topics"][0].said
    heard = [twin.notes.get(timeout=30) for _ in range(3)]
    assert twin.notes.empty()
    for note, name in zip(heard, ("reply", "scores", "scores"), strict=True):
        assert isinstance(note, Received)
        assert not note.retained
        PUBLISHED[name].model_validate_json(note.payload)
    twin.close()
    stand.close()


def test_cameras_that_give_no_pictures_each_say_why(make_video: Callable[..., Path], tmp_path: Path) -> None:
    make_video(frames=20, rate=5, name="slow.mp4")
    with camera(SECRET) as real:
        path = write(
            tmp_path,
            "[record]\nsnapshot = true",
            locked=real.url(f"camera:{SECRET}no@"),
            opened=real.url(f"camera:{SECRET}@"),
            closed=f"rtsp://camera:{SECRET}@127.0.0.1:1/live",
            even="gst: videotestsrc is-live=true pattern=black",
            frozen="gst: videotestsrc is-live=true pattern=smpte75",
            slow="slow.mp4",
            gone="gone.mp4",
            nobody=f"rtsp://u:{SECRET}@nobody.invalid/live?x=y",
            usb="/dev/null",
        )
        path.write_text(f'{path.read_text()}\nrecord_source = "rtsp://127.0.0.1:1/main"')  # of the last
        found = by_name(cameras.examine(load(path), tmp_path, 15))
    told = {what.removeprefix("camera "): one for what, (one,) in found.items()}
    assert {name: (one.mark, one.exit_status) for name, one in told.items()} == {
        "locked": ("failed", 66), "opened": ("ok", 0), "closed": ("failed", 66),
        "even": ("warning", 0), "frozen": ("warning", 0), "slow": ("warning", 0), "gone": ("failed", 78),
        "nobody": ("failed", 66), "usb": ("failed", 66), "usb, record_source": ("failed", 66),
    }  # fmt: skip
    assert told["locked"].remedy == "mend the user name and the password of this camera"
    assert "port 1: Connection refused" in told["closed"].said
    assert "is it on" in told["closed"].remedy
    assert "the name nobody.invalid does not resolve" in told["nobody"].said
    assert "is it plugged in" in told["usb"].remedy
    assert "of one colour" in told["even"].said
    assert "always the same picture" in told["frozen"].said
    assert "5.0 fps" in told["slow"].said
    assert "the model wants 15 fps" in told["slow"].said
    assert "gone.mp4: No such file" in told["gone"].said


def test_a_camera_that_takes_a_connection_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "LIMIT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        path = write(tmp_path, mute=f"http://127.0.0.1:{mute.getsockname()[1]}/")
        found = by_name(cameras.examine(load(path), tmp_path, 15))
    (told,) = found["camera mute"]
    assert (told.mark, told.exit_status) == ("failed", 66)
    assert "is the path right" in told.remedy


GUARDS = {
    "wrong password": ("allow_anonymous false\npassword_file {folder}/passwords", "login", "broker.password_file"),
    "rules": ("allow_anonymous true\nacl_file {folder}/rules", "topics", "edge-tdn/barn/#"),
    "expired": ("certfile {folder}/old.pem\nkeyfile {folder}/old.key\nallow_anonymous true", "TLS", "be renewed"),
    "soon": ("certfile {folder}/new.pem\nkeyfile {folder}/new.key\nallow_anonymous true", "TLS", "have it renewed"),
}


@pytest.mark.parametrize("case", GUARDS)
def test_a_broker_that_refuses(case: str, tmp_path: Path) -> None:
    guard, what, remedy = GUARDS[case]
    (tmp_path / "secret").write_text(f"{SECRET}no\n")
    (tmp_path / "passwords").write_text(f"me:{SECRET}\n")
    subprocess.run(["mosquitto_passwd", "-U", str(tmp_path / "passwords")], check=True)
    (tmp_path / "rules").write_text("topic read edge-tdn/#\ntopic write edge-tdn/barn/+/events\n")
    (tmp_path / "rules").chmod(0o600)
    if what == "TLS":
        authority = Authority(tmp_path, "ca")
        authority.issue("old", to_days=-0.5)
        authority.issue("new", to_days=5.1)
    mosquitto = Mosquitto(tmp_path, guard.format(folder=tmp_path))
    address = f"127.0.0.1:{mosquitto.guarded_port}"
    text = {
        "login": at(f"mqtt://{address}", 'username = "me"\npassword_file = "secret"'),
        "topics": at(f"mqtt://{address}"),
        "TLS": at(f"mqtts://{address}", 'ca_file = "ca.pem"'),
    }[what]
    try:
        found = of_broker(write(tmp_path, text, yard="demo:"))
    finally:
        mosquitto.stop()
    assert marks(found["broker"]) == ["ok"]
    first = found[what][0]
    assert remedy in first.remedy
    if case == "soon":
        assert (first.mark, first.said) == ("warning", "TLSv1.3, the broker's certificate is valid for 5 days")
        assert marks(found["login"]) == marks(found["topics"]) == ["ok"]
    else:
        assert (first.mark, first.exit_status) == ("failed", 69)
        assert "login" not in found or what != "TLS"
    if case == "rules":
        refused = [(one.mark, one.said.partition(":")[0]) for one in found["topics"]]
        assert refused == [
            ("failed", "edge-tdn/barn/reply is refused"), ("warning", "edge-tdn/barn/yard/scores is refused"),
        ]  # fmt: skip


def test_no_broker_no_model_and_no_name(examine: Examine, make_video: Callable[..., Path], tmp_path: Path) -> None:
    make_video()
    runtime = '\n[runtime]\nmodel = "nowhere"'
    status, found = examine(write(tmp_path, at("mqtt://127.0.0.1:1", runtime), file="video.mp4"))
    assert status == 78
    assert "nowhere" in found["model"][0].said
    assert "Connection refused" in found["broker"][0].said
    assert "is a broker running there?" in found["broker"][0].remedy
    assert marks(found["camera file"]) == ["ok"]
    found = of_broker(write(tmp_path, at("mqtt://no-such-host.invalid"), file="video.mp4"))
    assert "is broker.url right?" in found["broker"][0].remedy


def test_a_running_daemon_is_found_and_believed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    refused = {"state": "degraded", "reason": "yard: Not authorized", "since": "2026-03-01T12:00:00.000Z"}
    path = write(tmp_path, at(mosquitto.url, '[outbox]\nfolder = "outbox"'), yard="demo:")
    assert holder(tmp_path / "outbox") is None
    outbox = Outbox(tmp_path / "outbox", OutboxConfig())
    assert holder(tmp_path / "outbox") == os.getpid()
    stand = Stand(mosquitto)
    stand.leave("edge-tdn/barn", availability=b"online", status=daemon("yard", delivery=refused))
    found = of_broker(path)
    assert "degraded: yard: Not authorized" in found["delivery"][0].said
    assert found["delivery"][0].exit_status == 69
    assert f"it is process {os.getpid()} here" in found["daemon"][0].said
    assert found["topics"][0].said == "edge-tdn/barn/reply may be written"
    outbox.close()
    stand.leave("edge-tdn/barn", status=daemon("yard"))
    found = of_broker(path)
    assert marks(found["delivery"]) == ["ok"]
    assert "each throws the other out" in found["daemon"][0].remedy
    stand.close()


def test_folders_and_credentials(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    text = 'username = "me"\npassword_file = "credential:mqtt"\n[outbox]\nfolder = "taken"\n[record]\n'
    text += 'snapshot = true\nfolder = "pictures"\nmax_mb = 999_999_999'
    site = Site(write(tmp_path, at("mqtt://127.0.0.1:1", text), yard="demo:"))
    found = by_name(site.configuration())
    assert "systemd-run" in found["credentials"][0].remedy
    assert site.access is None
    assert site.config
    found = by_name(site.folders(site.config))
    assert "is a file" in found["outbox"][0].said
    assert (found["outbox"][0].mark, found["outbox"][0].exit_status) == ("failed", 78)
    assert marks(found["record"]) == ["warning"]
    assert "free some, or lower record.max_mb" in found["record"][0].remedy
    assert not (tmp_path / "pictures").exists()


def test_the_checklist_as_people_see_it(
    edge_tdn: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without GStreamer and with a configuration that is none; and on a terminal."""
    (tmp_path / "gi.py").write_text("raise ImportError('none here')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    path = write(tmp_path, "[decide]\nenter_treshold = 0.5\n")
    result = edge_tdn("doctor", "--config", path)
    assert result.returncode == 78
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith("FAILED  configuration ")
    assert "did you mean 'enter_threshold'?" in lines[0]
    assert [line for line in lines if line.startswith("WARNING decoders") and "OpenCV takes its place" in line]
    assert lines[-1].startswith("1 failed, ")

    with (tmp_path / "screen").open("w") as file:
        assert doctor(Console(file=file, force_terminal=True, width=80), path, as_json=False) == 78
    drawn = (tmp_path / "screen").read_text()
    assert "✗" in drawn
    assert "trying: configuration ..." in drawn


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
ExecStart={{ path=/usr/bin/edge-tdn ; argv[]=/usr/bin/edge-tdn run --config {path} ; ignore_errors=no ; }}
END
"""
ANALYZE = "#!/bin/sh\necho '→ Overall exposure level for edge-tdn@site.service: 1.2 OK 🙂'\n"


@pytest.mark.parametrize(
    ("active", "enabled", "restarts", "told"),
    [
        ("active", "enabled", 0, [("ok", "process 7, 0 restarts")]),
        ("active", "disabled", 3, [("warning", "3 restarts"), ("warning", "does not start with the machine")]),
        ("failed", "enabled", 0, [("warning", "failed, the last exit status was 78")]),
        ("inactive", "enabled", 0, [("warning", "inactive")]),
    ],
)
def test_the_unit_of_this_configuration(
    active: str, enabled: str, restarts: int, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / "site.toml"
    text = SYSTEMCTL.format(active=active, enabled=enabled, restarts=restarts, path=path)
    for name, script in (("systemctl", text), ("systemd-analyze", ANALYZE)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(host, "BOOTED", tmp_path)
    *found, sandbox = host.service(path)
    assert sandbox.said == "edge-tdn@site.service: exposure 1.2 of 10"
    assert [(one.mark, part in one.said) for one, (_, part) in zip(found, told, strict=True)] == [
        (mark, True) for mark, _ in told
    ]
    (other,) = host.service(tmp_path / "another.toml")
    assert "edge-tdn@other.service (active)" in other.said
