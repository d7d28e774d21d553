"""The thread of the page: its port, and what it costs while no one looks."""

import json
import logging
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_tdn.config.load import parse
from edge_tdn.errors import ConfigError
from edge_tdn.hub.hub import Hub
from edge_tdn.web import http_server
from edge_tdn.web.open_page import open_page
from edge_tdn.web.page_thread import PageTiming
from tests.support.page_server import HOST, TOKEN, CommandCounter, page_server
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, eventually

UNSEEN = """
import json, sys, threading
from pathlib import Path
from edge_tdn.config.load import parse
from edge_tdn.hub.hub import Hub
from edge_tdn.web.open_page import open_page

web = {"port": int(sys.argv[1])}
config = parse({"host": "test", "camera": [{"name": "yard", "source": "demo:people"}], "web": web}, "test")
page = open_page(config, Path(), Hub("boot"), keep_token=False)
page.start()
heavy = [name for name in ("asyncio", "starlette", "anyio", "uvicorn", "h11") if name in sys.modules]
threads = [thread.name for thread in threading.enumerate()]
page.stop()
page.join(60.0)
print(json.dumps({"heavy": heavy, "threads": threads, "after": [one.name for one in threading.enumerate()]}))
"""


def test_a_page_that_is_not_looked_at_loads_no_server() -> None:
    program = subprocess.run(
        [sys.executable, "-c", UNSEEN, str(free_port())], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    found = json.loads(program.stdout)
    assert found == {"heavy": [], "threads": ["MainThread", "page"], "after": ["MainThread"]}


def test_a_port_in_use_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    with (
        socket.create_server((HOST, port)) as other,
        page_server(tmp_path, timing=PageTiming(retry_s=0.05), port=port) as page,
    ):
        assert "in use" in page.thread.fault
        page.thread.announce()
        assert "#code=" not in caplog.text
        other.close()
        eventually(lambda: not page.thread.fault)
        assert page.ask().status == 404
        assert caplog.text.count("#code=") == 1


def test_a_page_that_waits_for_its_port_can_be_stopped(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server((HOST, port)), page_server(tmp_path, port=port) as page:
        page.thread.stop()
        page.thread.join(PATIENCE_S)
        assert "page" not in [thread.name for thread in threading.enumerate()]


def test_an_address_of_another_host_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"web\.address.*an address of this host"),
        page_server(tmp_path, address="192.0.2.1", hosts=["cams.lan"], trusted_proxy="192.0.2.2"),
    ):
        pass


def test_a_link_is_good_for_one_login_and_the_token_is_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with page_server(tmp_path) as page:
        page.thread.announce()
        (code,) = re.findall(rf"page: http://127\.0\.0\.1:{page.port}/#code=(\S{{22}})$", caplog.text, re.M)
        assert page.post("/api/session", {"code": code}, session=False).status == 204
        assert page.post("/api/session", {"code": code}, session=False).status == 401
        assert page.post("/api/session", {"token": TOKEN}, session=False).status == 204
    assert TOKEN not in caplog.text


def test_a_server_that_fails_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon lives on, and its status has the reason."""
    whole = http_server.serve

    def failing(*_: object) -> None:
        monkeypatch.setattr(http_server, "serve", whole)
        raise MemoryError("no memory")

    monkeypatch.setattr(http_server, "serve", failing)
    with page_server(tmp_path, timing=PageTiming(retry_s=0.05)) as page, page.connect():
        eventually(lambda: "MemoryError: no memory" in caplog.text)
        assert page.ask().status == 404
        assert page.thread.fault == ""


def test_the_token_is_kept_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    content = {"host": "dock", "camera": [{"name": "yard", "source": "demo:people"}], "web": {"port": free_port()}}
    config = parse(content, "test")
    cookies = []
    for keep_token in (True, True, False):
        page = open_page(config, tmp_path, _hub(), keep_token)
        cookies.append((page, page.access.sessions.cookie(0.0)))
        page.join(PATIENCE_S)
    kept = (tmp_path / "dock" / "page" / "token").read_text().strip()
    (_, first), (second, _), (third, _) = cookies
    assert second.access.sessions.valid(first, 0.0)
    assert second.access.log_in(kept) == "right"
    assert third.access.log_in(kept) == "wrong"


def test_a_state_folder_that_refuses_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file"))
    content = {"host": "dock", "camera": [{"name": "yard", "source": "demo:people"}], "web": {"port": free_port()}}
    open_page(parse(content, "test"), tmp_path, _hub()).join(PATIENCE_S)
    assert "sessions end with this daemon" in caplog.text


def _hub() -> Hub:
    hub = Hub("boot")
    hub.host = CommandCounter()  # type: ignore[assignment]
    return hub
