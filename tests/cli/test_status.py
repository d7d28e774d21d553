"""`edge-tdn status`: with a real daemon, a real broker, and invalid payloads."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.__main__ import main
from edge_tdn.cli import status
from edge_tdn.cli.status_table import Overview
from edge_tdn.cli.terminal import age
from edge_tdn.cli.timing import StatusTiming
from tests.support.broker import Mosquitto
from tests.support.command_line import camera_site, parse
from tests.support.daemon import DaemonProcess
from tests.support.retained import RetainedStates, ago, camera_status, daemon_status, model_status, zone_status
from tests.support.waiting import eventually

READ_ONLY = "allow_anonymous true\nacl_file {folder}/readers"


@pytest.fixture
def states(broker: Mosquitto) -> Iterator[RetainedStates]:
    publisher = RetainedStates(broker)
    yield publisher
    publisher.close()


def test_a_daemon_that_serves_is_well_and_one_that_was_stopped_is_not(
    broker: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = camera_site(tmp_path, f'host = "barn"\n[broker]\nurl = "{broker.url}"\n[outbox]\nfolder = "off"')
    path.write_text(path.read_text() + "loop = true\n")

    def well(*options: str | Path) -> str:
        """Return what is printed, if the host is well and no event is on its way."""
        exit_status = main(["status", *map(str, options)])
        printed = capsys.readouterr().out
        return printed if exit_status == 0 and re.search(r'waiting"?:? 0', printed) else ""

    with DaemonProcess(path) as daemon:
        (host,) = json.loads(eventually(lambda: well("--config", path, "--json")))["hosts"].values()
        assert host["status"]["segment_s"] == 0.2667
        head, delivery, columns, row, *_ = eventually(lambda: well("--broker", broker.url)).splitlines()
        assert re.match(r"edge-tdn/barn  online  edge-tdn \S+, motion fp32 on CPU, up \d+ (s|min)", head)
        assert delivery.startswith("delivery connected   outbox off, waiting 0, dropped 0")
        assert columns.split()[:5] == ["camera", "state", "since", "fps", "size"]
        assert re.match(r"a +streaming +\d+ (s|min) +[\d.]+ ", row)
        assert daemon.terminate() == 0
    assert main(["status", "--config", str(path)]) == 3
    output = capsys.readouterr().out
    assert "edge-tdn/barn  stopped" in output
    assert re.search(
        r"stopped on request, and not connected since; last change \d+ (s|min) ago; its cameras: a\n", output
    )
    assert "removed from the broker with `edge-tdn forget barn`" in output
    assert "journalctl" not in output


def test_a_host_that_was_stopped_differs_from_one_that_failed(
    broker: Mosquitto, states: RetainedStates, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worst host decides the exit status."""
    camera = camera_status("door")
    states.leave("edge-tdn/attic", availability=b"online", status=daemon_status("door"), door__status=camera)
    for host, availability, exit_status, state in (
        ("attic", b"online", 0, "well"),
        ("barn", b"stopped", 3, "stopped"),
        ("shed", b"offline", 1, "failed"),
    ):
        states.leave(f"edge-tdn/{host}", availability=availability, status=daemon_status("door"), door__status=camera)
        assert main(["status", "--broker", broker.url, "--json"]) == exit_status
        document = json.loads(capsys.readouterr().out)
        assert (document["state"], document["hosts"][f"edge-tdn/{host}"]["state"]) == (state, state)
        assert document["well"] == (exit_status == 0)


@pytest.mark.parametrize(("at", "exit_status"), [(20, 0), (200, 1), (None, 0), ("9999-99-99T99:99:99.999Z", 0)])
def test_a_host_that_went_silent_without_a_last_will_has_failed(
    at: int | str | None,
    exit_status: int,
    broker: Mosquitto,
    states: RetainedStates,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As after a broker restarted with what it had kept. The status of an earlier version has no time.

    `at`: seconds ago, or as published.
    """
    camera, daemon = camera_status("door"), daemon_status("door", at=ago(at) if isinstance(at, int) else at)
    states.leave("edge-tdn/attic", availability=b"online", status=daemon, door__status=camera)
    for options in ([], ["--brief"]):
        assert main(["status", "--broker", broker.url, *options]) == exit_status
        assert ("last status 3 min ago" in capsys.readouterr().out) == bool(exit_status)
    states.leave("edge-tdn/attic", availability=b"stopped")
    assert main(["status", "--broker", broker.url]) == 3
    assert "last status" not in capsys.readouterr().out


def test_each_host_shows_its_cameras_and_what_is_wrong_with_them(
    broker: Mosquitto, states: RetainedStates, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"state": "degraded", "reason": "yard: Not authorized", "since": ago(125)}
    full = {"state": "full", "reason": "no space", "waiting": 5, "dropped": 7, "lost": 0}
    states.leave(
        "edge-tdn/attic",
        availability=b"online",
        status=daemon_status("door"),
        door__status=camera_status("door"),
        door__action=b"none",
        old__status=camera_status("old", state="unreachable"),
    )
    assert main(["status", "--broker", broker.url]) == 0
    assert "old" not in capsys.readouterr().out
    failed = {"state": "rebuilding", "reason": "runtime failed: RuntimeError: no device", "since": ago(5)}
    states.leave("edge-tdn/attic", status=daemon_status("door", runtime=failed))
    assert main(["status", "--broker", broker.url]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "outbox ok, waiting 0, dropped 0, lost 0 runtime failed: RuntimeError: no device" in shown
    states.leave("edge-tdn/attic", status=daemon_status("door"))
    began = time.monotonic()
    states.leave(
        "edge-tdn/barn",
        availability=b"online",
        status=daemon_status("yard", "roof", "cellar", delivery=refused, outbox=full),
        yard__status=camera_status("yard", shed=3, reason="host too slow", decoder="vah264dec"),
        yard__action=b"Pushing",
        roof__status=camera_status("roof", state="unauthorized", reason="401", since=ago(42)),
    )
    states.leave(
        "edge-tdn/shed",
        availability=b"offline",
        status=daemon_status("gate"),
        gate__status=camera_status("gate", since=ago(7300)),
    )
    assert main(["status", "--broker", broker.url]) == 1
    lasted_s = time.monotonic() - began
    attic, barn, shed, counted, hint = capsys.readouterr().out.split("\n\n")
    assert counted == "3 hosts: 1 well, 2 failed"
    assert re.search(r"door +streaming +3 h +25.0 +1920x1080 +0.50 s +31 ms +1.2 M +0 +0 +none", attic)
    assert "up 1 d 1 h" in attic
    assert "delivery degraded for 2 min: yard: Not authorized   outbox full: no space, waiting 5, dropped 7" in barn
    assert re.search(r"yard +streaming .* 3 +0 +Pushing", barn)
    found = re.search(r"roof +unauthorized +(\d+) s", barn)
    assert found
    assert 42 <= int(found[1]) <= 43 + lasted_s
    assert re.search(r"cellar +unknown", barn)
    assert barn.splitlines()[-3:] == ["decoded by vah264dec (yard)", "yard: host too slow", "roof: 401"]
    assert "journalctl" in hint
    assert "offline" in shed
    assert "disappeared without signing off" in shed
    assert "last change 2 h 1 min ago; its cameras: gate" in shed.replace("\n", "")
    assert "streaming" not in shed  # the last status is outdated


def test_the_zones_of_a_camera_are_rows_below_it_and_their_models_are_named(
    broker: Mosquitto, states: RetainedStates, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "20x20 pixels of the picture of 640x480"
    hands = model_status("hands")
    zones = [
        zone_status("gate", action="up", clips=1200, shed=3),
        zone_status("bed", model=hands["model"], hop=4, segment_s=0.5, latency_ms=120),
        zone_status("far", width=0, height=0, hop=0, clips=0, latency_ms=0, reason=small),
        zone_status("dark", reason="host too slow"),
    ]
    states.leave(
        "edge-tdn/barn",
        availability=b"online",
        status=daemon_status("door", "yard", models=[model_status("motion"), hands]),
        door__status=camera_status("door", zones=zones, reason=f"zone far: {small}"),
        door__action=b"up",
        yard__status=camera_status("yard"),
    )
    assert main(["status", "--broker", broker.url]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "motion int8 + hands int8 on CPU, up 1 d 1 h" in " ".join(lines)
    at = next(number for number, line in enumerate(lines) if line.startswith("door "))
    assert [" ".join(line.split()) for line in lines[at : at + 6]] == [
        "door streaming 3 h 25.0 1920x1080 31 ms 1.2 M 0 0 up",
        "gate 640x480 0.50 s 31 ms 1200 3 up",
        "bed 640x480 2.00 s 120 ms 12 0 none",
        "far 0 0 none",
        "dark 640x480 0.50 s 31 ms 12 0 none",
        "yard streaming 3 h 25.0 1920x1080 2 segments 31 ms 1.2 M 0 0",
    ]
    assert lines[at + 1].startswith("  gate ")
    assert lines[at + 6 :] == [
        "computed by motion int8 (door/gate, door/far, door/dark); hands int8 (door/bed)",
        f"door: zone far: {small}",
        "door: zone dark: host too slow",
    ]
    assert main(["status", "--broker", broker.url, "--json"]) == 0
    door = json.loads(capsys.readouterr().out)["hosts"]["edge-tdn/barn"]["cameras"]["door"]
    assert [one["zone"] for one in door["status"]["zones"]] == ["gate", "bed", "far", "dark"]
    failed = {"state": "rebuilding", "reason": "runtime failed: RuntimeError: no device", "since": ago(5)}
    models = [model_status("motion"), hands | {"runtime": failed}]
    states.leave("edge-tdn/barn", status=daemon_status("door", "yard", runtime=failed, models=models))
    for options in ([], ["--brief"]):
        assert main(["status", "--broker", broker.url, *options]) == 1
        shown = " ".join(capsys.readouterr().out.split())
        assert "hands int8: runtime failed: RuntimeError: no device" in shown
        assert "motion int8: runtime" not in shown


def test_control_characters_in_payloads_and_topics_never_reach_the_terminal(
    broker: Mosquitto, states: RetainedStates, capsys: pytest.CaptureFixture[str]
) -> None:
    bell = "\x1b]0;owned\x07\n\u202e\x9b31m"
    never = {"since": "9999-99-99T99:99:99.999Z"}
    cameras = daemon_status(bell, "\u202e\u2028", "big", version=bell)
    states.leave("edge-tdn/odd", availability=b"\xff\x1b[2J", status=cameras)
    states.leave_on({"edge-tdn/odd/\u202e\u2028/status": camera_status(bell, reason=bell * 1000, **never)})
    states.leave(
        "edge-tdn/odd",
        big__status=camera_status("big", clips=10**4000, fps=1e300, height=10**50, hop=10**20),
        big__action=(bell * 99).encode(),
        x__action=b"\xff",
        y__status=b"[" * 100_000,
    )
    states.leave("edge-tdn/odd2", status=b'{"schema": 2}')
    states.leave("edge-tdn/empty", status=b"")
    for options in ([], ["--json"]):
        assert main(["status", "--broker", broker.url, *options]) == 1
        output = capsys.readouterr().out
        assert all(one.isprintable() or one == "\n" for one in output)
    assert json.loads(output)["hosts"]["edge-tdn/odd2"]["invalid"] == ["edge-tdn/odd2/status"]
    assert len(json.loads(output)["hosts"]) == 2


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_everything_retained_is_awaited_even_if_the_marker_may_not_be_published(
    protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the guarded port this user may only read."""
    (tmp_path / "readers").write_text("topic read edge-tdn/#\n")
    (tmp_path / "readers").chmod(0o600)
    broker = Mosquitto(tmp_path, READ_ONLY.format(folder=tmp_path))
    try:
        states = RetainedStates(broker)
        names = [f"c{number}" for number in range(150)]
        states.leave("edge-tdn/barn", **{f"{name}__status": camera_status(name) for name in names})
        states.leave("edge-tdn/barn", **{f"{name}__action": b"none" for name in names})
        states.leave("edge-tdn/barn", availability=b"online", status=daemon_status(*names))
        states.close()
        for port in (broker.port, broker.guarded_port):
            options = parse("status", "--broker", f"mqtt://127.0.0.1:{port}", "--protocol", protocol, "--json")
            assert status.run(options, StatusTiming(marker_s=4.0, quiet_s=4.0)) == 0
            document = json.loads(capsys.readouterr().out)
            cameras = document["hosts"]["edge-tdn/barn"]["cameras"]
            assert list(cameras) == names
            assert {one["action"] for one in cameras.values()} == {"none"}
    finally:
        broker.stop()


def test_an_unknown_host_is_exit_1_and_no_broker_exit_69(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--broker", broker.url, "--base", "edge-tdn/missing"]) == 1
    output = capsys.readouterr().out
    assert "no host has published anything below edge-tdn/missing\n--base edge-tdn/+ shows all hosts" in output
    broker.stop()
    assert main(["status", "--broker", broker.url]) == 69
    error = capsys.readouterr().err
    assert "Connection refused; is a broker running there? See `edge-tdn docs troubleshooting#broker`." in error
    assert "On the camera host, `systemctl status" in error


def test_watch_needs_a_terminal_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--broker", "mqtt://127.0.0.1:1", "--watch"]) == 78
    assert "--watch needs a terminal; for a pipe use `--watch --json`" in capsys.readouterr().err


def test_watch_with_json_prints_a_line_for_every_change_until_ctrl_c(
    broker: Mosquitto, states: RetainedStates, tmp_path: Path
) -> None:
    door = camera_status("door")
    states.leave("edge-tdn/barn", availability=b"online", status=daemon_status("door"), door__status=door)
    output = tmp_path / "lines"
    command = [sys.executable, "-m", "edge_tdn", "status", "--broker", broker.url, "--watch", "--json"]
    with output.open("w") as file, subprocess.Popen(command, stdout=file) as process:
        eventually(lambda: output.read_text().count("\n") >= 1)
        states.leave("edge-tdn/barn", door__status=camera_status("door", state="stalled"), door__action=b"none")
        eventually(lambda: '"state": "stalled"' in output.read_text())
        process.send_signal(signal.SIGINT)
    assert process.returncode == 1
    first, *_, last = map(json.loads, output.read_text().splitlines())
    assert (first["well"], last["well"]) == (True, False)


def test_watch_redraws_the_table_until_ctrl_c(broker: Mosquitto, states: RetainedStates) -> None:
    door = camera_status("door")
    states.leave("edge-tdn/barn", availability=b"online", status=daemon_status("door"), door__status=door)
    drawn = StringIO()
    main_thread = threading.get_ident()

    def interrupt() -> None:
        eventually(lambda: drawn.getvalue().count("edge-tdn/barn") >= 2)
        signal.pthread_kill(main_thread, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    console = Console(file=drawn, force_terminal=True, width=100)
    options = parse("status", "--broker", broker.url, "--watch")
    assert status.run(options, StatusTiming(draw_every_s=0.1), console) == 0
    interrupter.join()


def test_a_full_table_fits_into_a_hundred_columns() -> None:
    overview, out = Overview("edge-tdn/+"), StringIO()
    overview.take("edge-tdn/barn/availability", b"online")
    overview.take("edge-tdn/barn/status", daemon_status("front-door-left"))
    busy = camera_status(
        "front-door-left", state="streaming", latency_ms=1234, clips=99_999_999, shed=9999, gaps=999, hop=48
    )
    overview.take("edge-tdn/barn/front-door-left/status", busy)
    overview.take("edge-tdn/barn/front-door-left/action", b"Pretending to put something behind something")
    Console(file=out, width=100).print(overview)
    table = out.getvalue()
    assert max(map(len, table.splitlines())) <= 100
    narrow = StringIO()
    Console(file=narrow, width=80).print(overview)
    for cell in ("front-door-left", "streaming", "25.0", "12.00 s", "100.0 M", "9999", "behind"):
        assert cell in narrow.getvalue()
    assert "latency" not in narrow.getvalue()
    for cell in ("front-door-left", "streaming", "1920x1080", "12.00 s", "1234 ms", "100.0 M", "9999", "999", "behind"):
        assert cell in table


def test_an_age_is_shown_in_its_two_largest_units() -> None:
    began = datetime.now(UTC)
    shown = [age((began - timedelta(seconds=seconds)).isoformat()) for seconds in (-50, 5, 90, 7500, 266_400)]
    passed_s = int((datetime.now(UTC) - began).total_seconds())
    assert shown[1] in [f"{seconds} s" for seconds in range(5, 6 + passed_s)]
    assert [shown[0], *shown[2:]] == ["0 s", "1 min", "2 h 5 min", "3 d 2 h"]
