"""`edge-tdn status`: a real daemon, a real broker, and payloads that nobody should have sent."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.__main__ import main
from edge_tdn.cli import status as status_module
from edge_tdn.cli.status import status
from edge_tdn.cli.status_table import Overview
from edge_tdn.cli.terminal import age
from edge_tdn.config.tables import Access
from edge_tdn.delivery.mqtt import Acknowledged, Message
from edge_tdn.messages import NS_PER_S, CameraStatus, DaemonStatus, iso
from tests.cli.test_main import site
from tests.support.broker import Mosquitto

READ_ONLY = "allow_anonymous true\nacl_file {folder}/readers"


def ago(seconds: float) -> str:
    return iso(time.time_ns() - int(seconds * NS_PER_S))


def daemon(*cameras: str, **changed: object) -> bytes:
    content: dict[str, object] = {
        "host": "barn", "version": "1.2.3", "boot": "b", "started_at": ago(90_000), "device": "CPU",
        "model": {"id": "motion", "precision": "int8", "sha256": "0" * 64}, "cameras": cameras, "segment_s": 0.25,
        "session": 1, "delivery": {"state": "connected", "reason": "", "since": ago(60)},
        "outbox": {"state": "ok", "reason": "", "waiting": 0, "dropped": 0, "lost": 0},
        "config": {"state": "in_force", "reason": "", "since": ago(60)},
    }  # fmt: skip
    return DaemonStatus.model_validate(content | changed).json_bytes()


def camera(name: str, **changed: object) -> bytes:
    content: dict[str, object] = {
        "camera": name, "state": "streaming", "reason": "", "since": ago(3 * 3600 + 240), "fps": 25.0, "width": 1920,
        "height": 1080, "hop": 2, "latency_ms": 31.4, "clips": 1234567, "gated": 0, "shed": 0, "gaps": 0,
    }  # fmt: skip
    return CameraStatus.model_validate(content | changed).json_bytes()


class Stand:
    """What stands at a broker."""

    def __init__(self, broker: Mosquitto) -> None:
        self._connection, self._link = broker.link()

    def leave(self, base: str, **payloads: bytes) -> None:
        """Retained, when it returns; `door__status` is <base>/door/status."""
        self.leave_on({f"{base}/{name.replace('__', '/')}": payload for name, payload in payloads.items()})

    def leave_on(self, payloads: dict[str, bytes]) -> None:
        for topic, payload in payloads.items():
            self._link.publish(Message(topic, payload, retain=True))
        for _ in payloads:
            assert isinstance(self._connection.notes.get(timeout=60), Acknowledged)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def stand(broker: Mosquitto) -> Iterator[Stand]:
    one = Stand(broker)
    yield one
    one.close()


def test_a_daemon_that_serves_and_one_that_was_stopped(
    broker: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site(tmp_path, f'host = "barn"\n[broker]\nurl = "{broker.url}"\n[outbox]\nfolder = "off"')
    path.write_text(path.read_text() + "loop = true\n")
    command = [sys.executable, "-m", "edge_tdn", "run", "--config", str(path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 90
            while main(["status", "--config", str(path), "--json"]):
                assert time.monotonic() < deadline
                capsys.readouterr()
                time.sleep(0.1)
            (said,) = json.loads(capsys.readouterr().out)["hosts"].values()
            assert said["status"]["segment_s"] == 0.2667
            assert main(["status", "--broker", broker.url]) == 0
            head, delivery, columns, row, *_ = capsys.readouterr().out.splitlines()
            assert re.match(r"edge-tdn/barn  online  edge-tdn \S+, motion fp32 on CPU, up \d+ s", head)
            assert delivery.startswith("delivery connected   outbox off, waiting 0, dropped 0")
            assert columns.split()[:5] == ["camera", "state", "since", "fps", "size"]
            assert re.match(r"a +streaming +\d+ s +[\d.]+ ", row)
        finally:
            process.terminate()
    assert process.returncode == 0
    assert main(["status", "--config", str(path)]) == 1
    told = capsys.readouterr().out
    assert "edge-tdn/barn  stopped" in told
    assert re.search(r"was stopped, as asked; the last that changed there was \d+ s ago; its cameras: a\n", told)
    assert "journalctl -u 'edge-tdn*'" in told


def test_what_is_wrong_stands_beside_what_is_right(
    broker: Mosquitto, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"state": "degraded", "reason": "yard: Not authorized", "since": ago(125)}
    full = {"state": "full", "reason": "no space", "waiting": 5, "dropped": 7, "lost": 0}
    stand.leave("edge-tdn/attic", availability=b"online", status=daemon("door"), door__status=camera("door"),
          door__action=b"none", old__status=camera("old", state="unreachable"))  # fmt: skip
    assert main(["status", "--broker", broker.url]) == 0
    assert "old" not in capsys.readouterr().out
    stand.leave("edge-tdn/barn", availability=b"online", status=daemon("yard", "roof", "cellar", delivery=refused,
          outbox=full), yard__status=camera("yard", shed=3, reason="host too slow", decoder="vah264dec"),
          yard__action=b"Pushing",
          roof__status=camera("roof", state="unauthorized", reason="401", since=ago(42)))  # fmt: skip
    began = time.monotonic()
    stand.leave("edge-tdn/shed", availability=b"offline", status=daemon("gate"),
          gate__status=camera("gate", since=ago(7300)))  # fmt: skip
    assert main(["status", "--broker", broker.url]) == 1
    lasted_s = time.monotonic() - began
    attic, barn, shed, hint = capsys.readouterr().out.split("\n\n")
    assert re.search(r"door +streaming +3 h +25.0 +1920x1080 +0.50 s +31 ms +1.2 M +0 +0 +none", attic)
    assert "up 1 d 1 h" in attic
    assert "delivery degraded for 2 min: yard: Not authorized   outbox full: no space, waiting 5, dropped 7" in barn
    assert re.search(r"yard +streaming .* 3 +0 +Pushing", barn)
    found = re.search(r"roof +unauthorized +(\d+) s", barn)
    assert found
    assert 42 <= int(found[1]) <= 43 + lasted_s
    assert re.search(r"cellar +nothing said", barn)
    assert barn.splitlines()[-3:] == ["decoded by vah264dec (yard)", "yard: host too slow", "roof: 401"]
    assert "journalctl" in hint
    assert "offline" in shed
    assert "gone without a goodbye" in shed
    assert "changed there was 2 h 1 min ago; its cameras: gate" in shed.replace("\n", "")
    assert "streaming" not in shed  # what it said last means nothing


def test_nothing_that_stands_there_reaches_the_terminal_raw(
    broker: Mosquitto, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    bell = "\x1b]0;owned\x07\n\u202e\x9b31m"
    never = {"since": "9999-99-99T99:99:99.999Z"}
    stand.leave("edge-tdn/odd", availability=b"\xff\x1b[2J", status=daemon(bell, "\u202e\u2028", "big", version=bell))
    stand.leave_on({"edge-tdn/odd/\u202e\u2028/status": camera(bell, reason=bell * 1000, **never)})
    stand.leave("edge-tdn/odd", big__status=camera("big", clips=10**4000, fps=1e300, height=10**50, hop=10**20),
          big__action=(bell * 99).encode(), x__action=b"\xff", y__status=b"[" * 100_000)  # fmt: skip
    stand.leave("edge-tdn/odd2", status=b'{"schema": 2}')
    stand.leave("edge-tdn/empty", status=b"")
    for options in ([], ["--json"]):
        assert main(["status", "--broker", broker.url, *options]) == 1
        told = capsys.readouterr().out
        assert all(one.isprintable() or one == "\n" for one in told)
    assert json.loads(told)["hosts"]["edge-tdn/odd2"]["invalid"] == ["edge-tdn/odd2/status"]
    assert len(json.loads(told)["hosts"]) == 2


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_all_that_is_retained_is_waited_for_also_where_we_may_not_write(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "readers").write_text("topic read edge-tdn/#\n")
    (tmp_path / "readers").chmod(0o600)
    monkeypatch.setattr(status_module, "MARKER_S", 0.7)
    broker = Mosquitto(tmp_path, READ_ONLY.format(folder=tmp_path))
    try:
        stand = Stand(broker)
        names = [f"c{number}" for number in range(150)]
        stand.leave("edge-tdn/barn", **{f"{name}__status": camera(name) for name in names})
        stand.leave("edge-tdn/barn", **{f"{name}__action": b"none" for name in names})
        stand.leave("edge-tdn/barn", availability=b"online", status=daemon(*names))
        stand.close()
        for port in (broker.port, broker.guarded_port):
            url = f"mqtt://127.0.0.1:{port}"
            assert main(["status", "--broker", url, "--protocol", protocol, "--json"]) == 0
            document = json.loads(capsys.readouterr().out)
            cameras = document["hosts"]["edge-tdn/barn"]["cameras"]
            assert list(cameras) == names
            assert {one["action"] for one in cameras.values()} == {"none"}
    finally:
        broker.stop()


def test_no_broker_is_exit_69_and_nobody_there_is_told(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--broker", broker.url, "--base", "edge-tdn/nobody"]) == 1
    assert "no host has said anything under edge-tdn/nobody" in capsys.readouterr().out
    broker.stop()
    assert main(["status", "--broker", broker.url]) == 69
    told = capsys.readouterr().err
    assert "Connection refused; is a broker running there? On the camera host, `systemctl status" in told
    assert main(["status", "--broker", broker.url, "--watch"]) == 78


def test_watching_follows_what_changes_until_ctrl_c(broker: Mosquitto, stand: Stand, tmp_path: Path) -> None:
    stand.leave("edge-tdn/barn", availability=b"online", status=daemon("door"), door__status=camera("door"))
    output = tmp_path / "lines"
    command = [sys.executable, "-m", "edge_tdn", "status", "--broker", broker.url, "--watch", "--json"]
    with output.open("w") as file, subprocess.Popen(command, stdout=file) as process:
        until(lambda: output.read_text().count("\n") >= 1)
        stand.leave("edge-tdn/barn", door__status=camera("door", state="stalled"), door__action=b"none")
        until(lambda: '"state": "stalled"' in output.read_text())
        process.send_signal(signal.SIGINT)
    assert process.returncode == 1
    first, *_, last = map(json.loads, output.read_text().splitlines())
    assert (first["well"], last["well"]) == (True, False)

    drawn = StringIO()
    console = Console(file=drawn, force_terminal=True, width=100)
    stand.leave("edge-tdn/barn", door__status=camera("door"))
    here = threading.get_ident()

    def interrupt() -> None:
        until(lambda: drawn.getvalue().count("edge-tdn/barn") >= 2)
        signal.pthread_kill(here, signal.SIGINT)

    stop = threading.Thread(target=interrupt)
    stop.start()
    assert status(console, broker.config(), Access(), "edge-tdn/+", as_json=False, watched=True) == 0
    stop.join()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_full_table_fits_a_hundred_columns() -> None:
    overview, out = Overview("edge-tdn/+"), StringIO()
    overview.take("edge-tdn/barn/availability", b"online")
    overview.take("edge-tdn/barn/status", daemon("front-door-left"))
    busy = camera("front-door-left", state="streaming", latency_ms=1234, clips=99_999_999, shed=9999, gaps=999, hop=48)
    overview.take("edge-tdn/barn/front-door-left/status", busy)
    overview.take("edge-tdn/barn/front-door-left/action", b"Pretending to put something behind something")
    Console(file=out, width=100).print(overview)
    told = out.getvalue()
    assert max(map(len, told.splitlines())) <= 100
    narrow = StringIO()
    Console(file=narrow, width=80).print(overview)
    for cell in ("front-door-left", "streaming", "25.0", "12.00 s", "100.0 M", "9999", "behind"):
        assert cell in narrow.getvalue()
    assert "latency" not in narrow.getvalue()
    for cell in ("front-door-left", "streaming", "1920x1080", "12.00 s", "1234 ms", "100.0 M", "9999", "999", "behind"):
        assert cell in told


def test_ages_are_told_in_their_two_largest_units() -> None:
    now = datetime.now(UTC)
    told = [age((now - timedelta(seconds=seconds)).isoformat()) for seconds in (-50, 5, 90, 7500, 266_400)]
    assert told == ["0 s", "5 s", "1 min", "2 h 5 min", "3 d 2 h"]
