"""`edge-tdn doctor`: real brokers, cameras and models, each broken in its own way, and what is found."""

import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.capture import diagnosis
from edge_tdn.cli.doctor import broker, cameras, doctor
from edge_tdn.cli.doctor.checklist import print_checklist
from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.cli.doctor.site import SiteExamination
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.load import load
from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.mqtt import Connection, Message, Received
from edge_tdn.delivery.outbox.folder import lock_holder_pid
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.status_messages import PUBLISHED
from tests.conftest import ROOT
from tests.support.authority import Authority
from tests.support.bridge import BridgedBrokers
from tests.support.broker import Mosquitto
from tests.support.command_line import Run, parse
from tests.support.http_camera import answering, noisy_jpeg, serving
from tests.support.model_folders import edit_manifest
from tests.support.retained import RetainedStates, daemon_status
from tests.support.rtsp import RtspCamera
from tests.support.waiting import PATIENCE_S, PROGRAM_S, eventually

TIMING = DoctorTiming(  # short, but patient
    connect_s=60.0, login_s=60.0, answers_s=60.0, first_picture_s=60.0, look_s=1.0, measure_s=0.0, quiet_s=0.15
)
SECRET = "opensesame"
Findings = dict[str, list[Finding]]


def write(folder: Path, text: str = "", **sources: str) -> Path:
    path = folder / "site.toml"
    cameras = [f"[[camera]]\nname = {name!r}\nsource = {source!r}" for name, source in sources.items()]
    path.write_text("\n".join(['host = "barn"', text, *cameras]))
    return path


def at(url: str, more: str = "") -> str:
    return f'[broker]\nurl = "{url}"\n{more}'


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], tuple[int, Findings]]:
    """Return the exit status, and the findings by what was examined. No output contains a password."""

    def run(path: Path) -> tuple[int, Findings]:
        status = doctor.run(parse("doctor", "--config", path, "--json"), TIMING)
        output = capsys.readouterr()
        assert SECRET not in output.out + output.err
        assert output.err == ""
        document = json.loads(output.out)
        assert document["exit_status"] == status
        return status, by_name(
            Finding(found["check"], found["result"], found["message"], found["remedy"], found["exit_status"])
            for found in document["findings"]
        )

    return run


Examine = Callable[[Path], tuple[int, Findings]]


@contextmanager
def camera(password: str = "") -> Iterator[RtspCamera]:
    one = RtspCamera(password)
    try:
        yield one
    finally:
        one.kill()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the answer of a camera, which comes late on a busy machine."""
    monkeypatch.setattr(diagnosis, "TIMEOUT_S", PATIENCE_S)


def by_name(found: Iterable[Finding]) -> Findings:
    """Sort findings by what was examined. None contains a password, and every failure has an exit status."""
    findings: Findings = {}
    for finding in found:
        assert SECRET not in repr(finding)
        assert (finding.mark == "failed") == bool(finding.exit_status)
        findings.setdefault(finding.what, []).append(finding)
    return findings


def of_broker(path: Path, timing: DoctorTiming = TIMING) -> Findings:
    """Return the findings about the broker alone."""
    site = SiteExamination(path)
    assert [one.mark for one in site.configuration()] == ["ok"]
    assert site.config
    return by_name(broker.examine(site.config, site.access, site.holder, timing))


def marks(findings: list[Finding]) -> list[str]:
    return [finding.mark for finding in findings]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker; the name `broker` is that of doctor's file here."""
    one = Mosquitto(tmp_path)
    yield one
    one.stop()


def test_a_healthy_host_passes_without_disturbing_its_daemon(
    mosquitto: Mosquitto, make_video: Callable[..., Path], examine: Examine, tmp_path: Path
) -> None:
    states = RetainedStates(mosquitto)
    states.leave("edge-tdn/barn", availability=b"stopped", door__status=b"{}")
    twin = Connection(mosquitto.config(), "edge-tdn-barn")  # the client id of the daemon
    twin.notes.get(timeout=PROGRAM_S).link.subscribe("edge-tdn/#")
    assert {twin.notes.get(timeout=PROGRAM_S).topic for _ in range(2)} == {
        "edge-tdn/barn/availability",
        "edge-tdn/barn/door/status",
    }
    make_video(frames=30, rate=15)
    with camera() as real:
        status, found = examine(write(tmp_path, at(mosquitto.url), yard=real.url(), file="video.mp4"))
    assert status == 0
    assert marks([one for several in found.values() for one in several]).count("failed") == 0
    assert "320x240, " in found["camera yard"][0].message
    assert "decoded by " in found["camera yard"][0].message
    assert "128x96, 15.0 fps" in found["camera file"][0].message
    assert "self-test passed" in found["runtime"][0].message
    assert "2 cameras take" in found["speed"][0].message
    assert found["daemon"][0].message == "no host named barn is online"
    assert "edge-tdn/barn/reply, edge-tdn/barn/yard/scores, edge-tdn/barn/file/scores" in found["topics"][0].message
    received = [twin.notes.get(timeout=PROGRAM_S) for _ in range(3)]
    assert twin.notes.empty()
    for note, name in zip(received, ("reply", "scores", "scores"), strict=True):
        assert isinstance(note, Received)
        assert not note.retained
        PUBLISHED[name].model_validate_json(note.payload)
    twin.close()
    states.close()


@pytest.mark.usefixtures("patient")
def test_each_camera_without_usable_pictures_has_its_reason(make_video: Callable[..., Path], tmp_path: Path) -> None:
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
            unknown=f"rtsp://u:{SECRET}@unknown.invalid/live?x=y",
            usb="/dev/null",
        )
        path.write_text(f'{path.read_text()}\nrecord_source = "rtsp://127.0.0.1:1/main"')  # of the last
        found = by_name(cameras.examine(load(path), tmp_path, lambda _: 15, TIMING))
    by_camera = {what.removeprefix("camera "): one for what, (one,) in found.items()}
    assert {name: (one.mark, one.exit_status) for name, one in by_camera.items()} == {
        "locked": ("failed", 66),
        "opened": ("ok", 0),
        "closed": ("failed", 66),
        "even": ("warning", 0),
        "frozen": ("warning", 0),
        "slow": ("warning", 0),
        "gone": ("failed", 78),
        "unknown": ("failed", 66),
        "usb": ("failed", 66),
        "usb, record_source": ("failed", 66),
    }
    assert by_camera["locked"].remedy == "correct the user name and the password of this camera"
    assert "port 1: Connection refused" in by_camera["closed"].message
    assert "is it on" in by_camera["closed"].remedy
    assert "the name unknown.invalid does not resolve" in by_camera["unknown"].message
    assert "is it plugged in" in by_camera["usb"].remedy
    assert "of one colour" in by_camera["even"].message
    assert "always the same picture" in by_camera["frozen"].message
    assert "5.0 fps" in by_camera["slow"].message
    assert "the model needs 15 fps" in by_camera["slow"].message
    assert "gone.mp4: No such file" in by_camera["gone"].message


ZONES = """
[[camera.zone]]
name = "gate"
region = [0.5, 0.0, 0.05, 0.5]
[[camera.zone]]
name = "bed"
polygon = [[0.1, 0.2], [0.5, 0.2], [0.3, 0.8]]
"""


def test_each_zone_is_examined_in_the_picture_that_the_camera_delivers(tmp_path: Path) -> None:
    """The picture of the main stream has another size."""
    with camera() as real:
        path = write(tmp_path, "[record]\nsnapshot = true", yard=real.url())
        record = 'record_source = "gst: videotestsrc is-live=true pattern=ball ! video/x-raw,width=1920,height=1080"'
        path.write_text(f"{path.read_text()}\n{record}\n{ZONES}")
        found = by_name(cameras.examine(load(path), tmp_path, lambda _: 15, TIMING))
    assert "320x240, " in found["camera yard"][0].message
    assert "1920x1080, " in found["camera yard, record_source"][0].message
    (gate,), (bed,) = found["camera yard, zone gate"], found["camera yard, zone bed"]
    assert (gate.mark, gate.exit_status) == ("failed", 78)
    assert gate.message == (
        f"{path}:11: camera[0].zone[0].region: 16x120 pixels of the picture of 320x240; a zone needs at least 32x32"
    )
    assert gate.remedy == "enlarge it, or take a larger stream"
    assert (bed.mark, bed.message) == ("ok", "128x144 pixels of the picture of 320x240")


def test_all_models_of_the_zones_are_examined_together(model_copy: Path, tmp_path: Path) -> None:
    edit_manifest(model_copy, lambda content: content.update(id="hands"))
    path = write(tmp_path, at("mqtt://127.0.0.1:1"), yard="demo:")
    path.write_text(f'{path.read_text()}\n{ZONES}model = "model"\nprecision = "int8"')
    site = SiteExamination(path)
    assert marks(list(site.configuration())) == ["ok"]
    assert site.config
    found = by_name(site.networks(site.config, TIMING))
    assert [one.message.partition(":")[0] for one in found["model"]] == ["motion", "hands"]
    first, second = found["runtime"]
    memory = r"compiled in [\d.]+ s, some \d+ MB of memory, self-test passed"
    assert re.fullmatch(rf"motion fp32 on CPU: {memory}", first.message)
    assert re.fullmatch(rf"hands int8 on CPU: {memory}", second.message)
    assert marks(found["parity"]) == ["ok", "warning"]
    assert found["parity"][1].message.startswith("hands int8: outside limits: 142 clips")
    for one, name in zip(found["speed"], ("motion fp32", "hands int8"), strict=True):
        assert re.match(rf"{name}: a clip takes .*: 1 zone takes \d+% .*; all models together \d+%$", one.message)
    assert site.frame_rate(site.config.camera[0]) == 15


@pytest.mark.usefixtures("patient")
def test_an_address_that_is_not_a_stream_is_named(tmp_path: Path) -> None:
    page = answering(b"<!DOCTYPE html><html><title>Camera</title></html>", "text/html")
    with serving(page) as web, serving(answering(noisy_jpeg(0), "image/jpeg")) as still:
        path = write(tmp_path, page=f"{web}/", still=f"{still}/snapshot.jpg")
        found = by_name(cameras.examine(load(path), tmp_path, lambda _: 15, TIMING))
    (page_finding,), (still_finding,) = found["camera page"], found["camera still"]
    assert (page_finding.mark, page_finding.message) == ("failed", f"{web}/: a web page, not a video")
    assert page_finding.remedy == "is this the address of the video stream itself?"
    assert (still_finding.mark, still_finding.message) == (
        "failed",
        f"{still}/snapshot.jpg: one picture, not a stream",
    )
    assert still_finding.remedy == "is this the address of a snapshot?"


def test_a_camera_that_accepts_a_connection_and_sends_nothing_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        path = write(tmp_path, mute=f"http://127.0.0.1:{mute.getsockname()[1]}/")
        timing = replace(TIMING, first_picture_s=1.0)
        found = by_name(cameras.examine(load(path), tmp_path, lambda _: 15, timing))
    (finding,) = found["camera mute"]
    assert (finding.mark, finding.exit_status) == ("failed", 66)
    assert "is the path right" in finding.remedy


GUARDS = {
    "wrong password": ("allow_anonymous false\npassword_file {folder}/passwords", "login", "broker.password_file"),
    "rules": ("allow_anonymous true\nacl_file {folder}/rules", "topics", "edge-tdn/barn/#"),
    "expired": ("certfile {folder}/old.pem\nkeyfile {folder}/old.key\nallow_anonymous true", "TLS", "be renewed"),
    "soon": ("certfile {folder}/new.pem\nkeyfile {folder}/new.key\nallow_anonymous true", "TLS", "have it renewed"),
}


@pytest.mark.parametrize("case", GUARDS)
def test_a_broker_that_refuses_names_the_remedy(case: str, tmp_path: Path) -> None:
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
        assert (first.mark, first.message) == ("warning", "TLSv1.3, the broker's certificate is valid for 5 days")
        assert marks(found["login"]) == marks(found["topics"]) == ["ok"]
    else:
        assert (first.mark, first.exit_status) == ("failed", 69)
        assert "login" not in found or what != "TLS"
    if case == "rules":
        rejected = [(one.mark, one.message.partition(":")[0]) for one in found["topics"]]
        assert rejected == [
            ("failed", "edge-tdn/barn/reply is rejected"),
            ("warning", "edge-tdn/barn/yard/scores is rejected"),
        ]


def test_a_bridge_with_the_shipped_settings_is_well_while_it_is_connected(tmp_path: Path) -> None:
    brokers = BridgedBrokers(tmp_path)
    path = write(tmp_path, at(brokers.edge.url), yard="demo:")
    try:
        bridge = eventually(lambda: of_broker(path).get("bridge"))
        assert [(one.mark, "edge-tdn-bridge/barn is connected" in one.message) for one in bridge] == [("ok", True)]
        brokers.link.cut()
        (cut,) = eventually(lambda: [one for one in of_broker(path)["bridge"] if one.mark != "ok"])
        assert (cut.mark, "is not connected" in cut.message) == ("warning", True)
    finally:
        brokers.close()


def test_a_bridge_with_default_settings_is_reported_with_what_it_has_dropped(tmp_path: Path) -> None:
    """The examination itself loses nothing and fails nowhere."""
    brokers = BridgedBrokers(tmp_path, without="(max_queued_messages|notification_topic)")
    publisher, link = brokers.edge.link()
    path = write(tmp_path, at(brokers.edge.url), yard="demo:")
    try:
        (bridge,) = eventually(lambda: of_broker(path).get("bridge"))
        assert (bridge.mark, "keeps 1000 messages while it is cut" in bridge.message) == ("note", True)
        assert "max_queued_messages 0 in mosquitto.conf on both sides: see `edge-tdn docs bridge`" in bridge.remedy
        brokers.link.cut()
        for number in range(1500):
            link.publish(Message("edge-tdn/other/door/events", b"%d" % number))
        found = eventually(lambda: of_broker(path) if len(of_broker(path)["bridge"]) == 2 else None)
        assert marks(found["bridge"]) == ["warning", "warning"]
        assert re.search(r"the broker has dropped \d+ messages since its start", found["bridge"][1].message)
        assert "failed" not in [one.mark for findings in found.values() for one in findings]
    finally:
        publisher.close()
        brokers.close()


def test_a_missing_broker_model_or_host_name_fails_and_the_rest_is_examined(
    examine: Examine, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    make_video()
    runtime = '\n[runtime]\nmodel = "nowhere"'
    status, found = examine(write(tmp_path, at("mqtt://127.0.0.1:1", runtime), file="video.mp4"))
    assert status == 78
    assert "nowhere" in found["model"][0].message
    assert "Connection refused" in found["broker"][0].message
    assert "is a broker running there?" in found["broker"][0].remedy
    assert marks(found["camera file"]) == ["ok"]
    found = of_broker(write(tmp_path, at("mqtt://no-such-host.invalid"), file="video.mp4"))
    assert "is broker.url right?" in found["broker"][0].remedy


def test_a_running_daemon_is_found_and_its_delivery_state_reported(mosquitto: Mosquitto, tmp_path: Path) -> None:
    refused = {"state": "degraded", "reason": "yard: Not authorized", "since": "2026-03-01T12:00:00.000Z"}
    path = write(tmp_path, at(mosquitto.url, '[outbox]\nfolder = "outbox"'), yard="demo:")
    assert lock_holder_pid(tmp_path / "outbox") is None
    outbox = Outbox(tmp_path / "outbox", OutboxConfig())
    assert lock_holder_pid(tmp_path / "outbox") == os.getpid()
    states = RetainedStates(mosquitto)
    states.leave("edge-tdn/barn", availability=b"online", status=daemon_status("yard", delivery=refused))
    found = of_broker(path)
    assert "degraded: yard: Not authorized" in found["delivery"][0].message
    assert found["delivery"][0].exit_status == 69
    assert f"it is process {os.getpid()} here" in found["daemon"][0].message
    assert found["topics"][0].message == "edge-tdn/barn/reply may be written"
    outbox.close()
    connecting = {"state": "connecting", "reason": "", "since": "2026-03-01T12:00:00.000Z"}
    states.leave("edge-tdn/barn", status=daemon_status("yard", delivery=connecting))
    assert marks(of_broker(path, replace(TIMING, settle_s=0.0))["delivery"]) == ["note"], "not a failure"
    later = threading.Timer(0.5, lambda: states.leave("edge-tdn/barn", status=daemon_status("yard")))
    later.start()
    found = of_broker(path, replace(TIMING, settle_s=PATIENCE_S))
    later.join()
    assert marks(found["delivery"]) == ["ok"], "the next status was awaited"
    found = of_broker(path)
    assert marks(found["delivery"]) == ["ok"]
    assert "each disconnects the other" in found["daemon"][0].remedy
    states.close()


def test_folders_and_credentials_that_cannot_be_used_are_failures(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    text = 'username = "me"\npassword_file = "credential:mqtt"\n[outbox]\nfolder = "taken"\n[record]\n'
    text += 'snapshot = true\nfolder = "pictures"\nmax_mb = 999_999_999'
    site = SiteExamination(write(tmp_path, at("mqtt://127.0.0.1:1", text), yard="demo:"))
    found = by_name(site.configuration())
    assert "systemd-run" in found["credentials"][0].remedy
    assert site.access is None
    assert site.config
    found = by_name(site.folders(site.config))
    assert "is a file" in found["outbox"][0].message
    assert (found["outbox"][0].mark, found["outbox"][0].exit_status) == ("failed", 78)
    assert marks(found["record"]) == ["warning"]
    assert "free some, or lower record.max_mb" in found["record"][0].remedy
    assert not (tmp_path / "pictures").exists()


def test_a_folder_of_clips_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    for folder, mark, message in (("/dev/null/x", "failed", "is a file"), ("taught", "ok", f"{tmp_path}/taught")):
        text = f'[web]\nport = 8765\nlabel_folder = "{folder}"'
        site = SiteExamination(write(tmp_path, at("mqtt://127.0.0.1:1", text), yard="demo:"))
        list(site.configuration())
        assert site.config
        (found,) = by_name(site.folders(site.config))["teach"]
        assert found.mark == mark
        assert message in found.message


def test_recordings_need_the_space_that_stays_free_as_well(tmp_path: Path) -> None:
    text = '[record]\nsnapshot = true\nfolder = "pictures"\nmax_mb = 1\nmin_free_mb = 999_999_999'
    site = SiteExamination(write(tmp_path, at("mqtt://127.0.0.1:1", text), yard="demo:"))
    list(site.configuration())
    assert site.config
    (found,) = by_name(site.folders(site.config))["record"]
    assert found.mark == "warning"
    assert "record.min_free_mb" in found.remedy


def test_the_checklist_is_printed_without_gstreamer_and_with_an_invalid_configuration(
    edge_tdn: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gi.py").write_text("raise ImportError('not installed')\n")
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


def test_a_terminal_shows_signs_and_what_is_being_tried(tmp_path: Path) -> None:
    path = write(tmp_path, "[decide]\nenter_treshold = 0.5\n")
    with (tmp_path / "screen").open("w") as file:
        assert print_checklist(Console(file=file, force_terminal=True, width=80), path, TIMING) == 78
    drawn = (tmp_path / "screen").read_text()
    assert "✗" in drawn
    assert "trying: configuration ..." in drawn
