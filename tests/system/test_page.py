"""`edge-tdn run` with and without [web]: what it imports, which threads it has, how it ends; `edge-tdn demo --web`."""

import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.page_daemon import PageDaemon
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import PROGRAM_S, eventually

CAMERA = 'name = "door"\nsource = "demo:"\nloop = true'
SERVER = ("uvicorn", "starlette", "h11", "edge_tdn.web.app")


def imported(daemon: DaemonProcess) -> set[str]:
    """Return the modules that a daemon with PYTHONPROFILEIMPORTTIME has imported so far."""
    return {line.rpartition("|")[2].strip() for line in daemon.log().splitlines() if line.startswith("import time:")}


def threads(daemon: DaemonProcess) -> set[str]:
    """Return the names of a daemon's threads, as the system has them: 15 characters."""
    tasks = Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return {(task / "comm").read_text().strip() for task in tasks}


@pytest.fixture(autouse=True)
def _import_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")


def test_without_a_port_nothing_of_the_page_is_imported(broker: Mosquitto, tmp_path: Path) -> None:
    with DaemonProcess(write_site(tmp_path, broker.url, CAMERA)) as daemon:
        daemon.wait_for_log("state=streaming")
        assert not [name for name in imported(daemon) if name.startswith("edge_tdn.web") or name in SERVER]
        assert not [one for one in psutil.Process(daemon.process.pid).net_connections() if one.status == "LISTEN"]
        assert daemon.terminate() == 0


def test_the_server_is_imported_when_the_first_browser_connects(broker: Mosquitto, tmp_path: Path) -> None:
    with PageDaemon(tmp_path, broker.url, CAMERA) as daemon:
        daemon.wait_for_log("state=streaming")
        daemon.link()
        assert "edge_tdn.web.page_thread" in imported(daemon)
        assert not imported(daemon) & {*SERVER}
        status, body, headers = daemon.request("GET", "/", {})
        assert (status, b"<title>edge-tdn" in body) == (200, True)
        assert headers["cache-control"] == "no-cache"
        eventually(lambda: {*SERVER} <= imported(daemon))
        assert not [name for name in imported(daemon) if name.split(".")[0] in ("torch", "aiohttp", "fastapi")]


def test_a_stop_does_not_wait_for_browsers(broker: Mosquitto, tmp_path: Path) -> None:
    """Sixteen streams are open: SIGTERM ends them with everything else, within the time that a stop has."""
    with PageDaemon(tmp_path, broker.url, CAMERA) as daemon:
        cookie = daemon.log_in()
        streams = []
        for _ in range(16):
            connection = HTTPConnection("127.0.0.1", daemon.port, timeout=PROGRAM_S)
            connection.request("GET", "/api/stream", headers={"Cookie": cookie})
            answer = connection.getresponse()
            assert answer.status == 200
            answer.readline()
            streams.append((connection, answer))
        assert daemon.terminate() == 0
        for connection, answer in streams:
            with closing(connection):
                answer.read()  # ends
        daemon.log()


def test_a_port_in_use_is_reported_and_the_daemon_serves_without_the_page(broker: Mosquitto, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with DaemonProcess(write_site(tmp_path, broker.url, CAMERA, extra=f"[web]\nport = {port}\n")) as daemon:
            daemon.wait_for_log("state=streaming")
            daemon.wait_for_log(f"page: port {port} is in use by another program")


def test_the_token_file_is_readable_by_its_owner_alone_and_outlives_the_daemon(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with PageDaemon(tmp_path, broker.url, CAMERA) as daemon:
        token = daemon.token()
        (file,) = tmp_path.glob("state/*/page/token")
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        cookie = daemon.log_in()
        assert daemon.terminate() == 0
    with PageDaemon(tmp_path, broker.url, CAMERA, port=daemon.port) as again:
        assert again.token() == token
        assert again.get("/api/state", cookie), "a session outlives a restart"
        assert token not in again.log()
        assert cookie.partition("=")[2] not in again.log()


def test_the_demo_serves_the_page_at_the_printed_link(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "edge_tdn", "demo", "--web", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPROFILEIMPORTTIME"}
    environment |= {"PYTHONUNBUFFERED": "1", "STATE_DIRECTORY": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as demo:
        assert demo.stdout
        code = ""
        while not code and (line := demo.stdout.readline()):
            found = re.fullmatch(rf"page http://127\.0\.0\.1:{port}/#code=(\S+)\n", line)
            code = found[1] if found else ""
        with closing(HTTPConnection("127.0.0.1", port, timeout=PROGRAM_S)) as connection:
            headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
            connection.request("POST", "/api/session", f'{{"code": "{code}"}}', headers)
            answer = connection.getresponse()
            assert answer.status == 204
        demo.terminate()
        rest = demo.stdout.read()
        assert demo.wait(PROGRAM_S) == 0
    assert "actions recognised" in rest
    assert not list(tmp_path.rglob("token")), "the demo leaves nothing behind"
