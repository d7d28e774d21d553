"""Cameras that freeze, hang, go away and come back: what the source does then. Real servers, real decoders."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

import edge_tdn.capture.frozen
import edge_tdn.capture.source
from edge_tdn.capture.reconnect import Door, is_open
from edge_tdn.capture.source import _delay
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from tests.capture.test_source import Running
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
RATE = 20


class Camera:
    """MJPEG over HTTP. `mode`: it lives, is frozen, hangs (says nothing), or breaks off after one picture; or boots:
    whoever comes first is sent away; or drops who is there.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.mode = "lives"
        self.connected_s: list[float] = []  # monotonic
        self._threads: list[threading.Thread] = []
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._server.settimeout(0.05)
        self._on = True
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def kill(self) -> None:
        """Its port refuses, its connections break."""
        self._on = False
        for thread in list(self._threads):
            thread.join(60)

    def _accept(self) -> None:
        while self._on:
            with suppress(TimeoutError):
                connection = self._server.accept()[0]
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()
        self._server.close()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(1)
        with connection, suppress(OSError):
            if b"GET" not in connection.recv(4096):
                return  # somebody knocked
            self.connected_s.append(time.monotonic())
            if self.mode == "boots":
                self.mode = "lives"
                return
            if self.mode != "hangs":
                head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n"
                connection.sendall(head)
            number = 0
            while self._on:
                if self.mode == "drops":
                    self.mode = "lives"
                    return
                if self.mode != "hangs":
                    data = jpeg(number if self.mode == "lives" else 0)
                    size = b"Content-Length: %d\r\n\r\n" % len(data)
                    connection.sendall(b"--next\r\nContent-Type: image/jpeg\r\n" + size + data + b"\r\n")
                    number += 1
                    if self.mode == "breaks" and number == 3:  # a decoder may wait for the picture behind the first
                        return
                time.sleep(1 / RATE)


def jpeg(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(-9, 10, (96, 128, 1))
    return cv2.imencode(".jpg", (np.linspace(60, 180, 128)[:, None] + noise).astype(np.uint8))[1].tobytes()


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    yield camera
    camera.kill()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    """run(camera, decoder, **configuration) -> Running. Waits are a tenth of what they are; a busy host may stall."""
    monkeypatch.setattr(edge_tdn.capture.source, "RETRY_S", (0.1, 6.0))
    monkeypatch.setattr(edge_tdn.capture.source, "STALL_S", 20.0)
    monkeypatch.setattr(edge_tdn.capture.source, "STEADY_S", 0.5)
    monkeypatch.setattr(edge_tdn.capture.source, "FROZEN_RETRY_S", (1.0, 2.0))
    monkeypatch.setattr(edge_tdn.capture.frozen, "DOUBTED_S", 0.5)
    monkeypatch.setattr("edge_tdn.capture.reconnect.KNOCK_S", 0.2)
    monkeypatch.setattr("edge_tdn.capture.reconnect.DYING_S", 0.05)
    started: list[Running] = []

    def start(camera: Camera, decoder: str, **configuration: object) -> Running:
        started.append(Running(camera.url, decoder, keep=False, **configuration))
        return started[-1]

    yield start
    for running in started:
        running.close()


# A frozen picture


def test_a_frozen_camera_gives_no_frames_until_it_lives(run: Callable[..., Running], camera: Camera) -> None:
    """Meanwhile it is connected anew, ever more seldom, and its state stays."""
    source = run(camera, "gstreamer", frozen_s=1.0)
    source.wait(lambda: source.count >= RATE)
    camera.mode = "frozen"
    assert source.wait_for("frozen") == "the same picture for 1 s"
    count, stream = source.count, source.stream
    source.wait(lambda: len(camera.connected_s) >= 2)
    assert source.count == count
    assert {state for state, _ in source.told[2:]} == {"frozen"}
    camera.mode = "lives"
    source.wait(lambda: source.count > count)
    assert source.told[-1] == ("streaming", "")
    assert source.stream > stream  # so the window begins anew


def test_a_camera_may_be_let_freeze(run: Callable[..., Running], camera: Camera) -> None:
    camera.mode = "frozen"
    source = run(camera, "gstreamer", frozen_s=0.0)
    source.wait(lambda: source.count >= 1.5 * RATE)
    assert [state for state, _ in source.told] == ["connecting", "streaming"]


# Connects


@both
def test_a_camera_that_hangs_is_noticed_and_can_be_stopped(
    run: Callable[..., Running], camera: Camera, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes over an open connection: told in STALL_S, also of a library that blocks for longer."""
    monkeypatch.setattr(edge_tdn.capture.source, "STALL_S", 1.0)
    source = run(camera, decoder)
    source.wait(lambda: source.count >= 3)
    camera.mode = "hangs"
    assert source.wait_for("stalled") == "no picture for 1 s"
    source.stop.set()
    source.end(1)


@pytest.mark.parametrize("mode", ["lives", "boots"])
def test_a_camera_that_was_away_for_long_is_back_at_once(
    run: Callable[..., Running], camera: Camera, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the next connect is hours away: its port is knocked at. And though it may open before it can serve."""
    source = run(camera, "gstreamer")
    source.wait(lambda: source.count >= 3)
    with monkeypatch.context() as patch:
        patch.setattr(edge_tdn.capture.source, "_delay", lambda attempt, fault: 9999.0)
        camera.kill()
        source.wait(lambda: source.told[-1][0] != "streaming")
        source.wait(lambda: source._source._door._shut)
    count, camera.mode = source.count, mode
    camera.start()
    source.wait(lambda: source.count > count)


def test_a_camera_that_shuts_its_door_late_is_back_at_once(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed closes its streams first: whoever knocks in that moment still finds it open."""
    monkeypatch.setattr("edge_tdn.capture.reconnect.KNOCK_S", 0.2)
    monkeypatch.setattr("edge_tdn.capture.reconnect.DYING_S", 0.05)
    found: list[bool | None] = []
    asked = Door._ask
    monkeypatch.setattr(Door, "_ask", lambda self, stop: found.append(asked(self, stop)) or found[-1])
    waiting = threading.Thread(target=lambda: door(camera.url).wait(9999, threading.Event()), daemon=True)
    waiting.start()
    until(lambda: True in found)
    camera.kill()
    until(lambda: found[-1] is False)
    assert waiting.is_alive()
    camera.start()
    waiting.join(60)
    assert not waiting.is_alive()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_camera_that_breaks_off_is_not_hammered(
    run: Callable[..., Running], camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, shows a picture and goes: waits double, 0.1 + 0.2 + 0.4 + 0.8 s, a quarter more or less."""
    monkeypatch.setattr(edge_tdn.capture.source, "STEADY_S", 60.0)
    camera.mode = "breaks"
    source = run(camera, "gstreamer")
    source.wait(lambda: len(camera.connected_s) >= 5)
    assert source.count >= 3
    pauses = [later - earlier for earlier, later in pairwise(camera.connected_s)]
    assert all(pause >= 0.075 * 2**n for n, pause in enumerate(pauses))


def test_a_steady_camera_is_connected_to_soon(
    run: Callable[..., Running], camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The back-off begins anew with every connection that lasted."""
    attempts: list[int] = []
    monkeypatch.setattr(edge_tdn.capture.source, "_delay", lambda attempt, fault: attempts.append(attempt) or 0.1)
    source = run(camera, "gstreamer")
    for number in range(3):
        count = source.count
        source.wait(lambda before=count: source.count > before + RATE)  # type: ignore[misc]
        camera.mode = "drops"
        source.wait(lambda before=number: len(attempts) > before)  # type: ignore[misc]
    source.wait(lambda: source.told[-1][0] == "streaming")
    assert attempts == [1, 1, 1]


def test_waits_double_to_a_minute_and_a_password_waits_longer() -> None:
    refused = SourceError("no", "unauthorized")
    away = SourceError("no", "unreachable")
    assert all(0.75 <= _delay(1, away) <= 1.25 for _ in range(20))
    assert all(45 <= _delay(attempt, fault) <= 75 for attempt in (7, 99) for fault in (away, refused))
    assert all(22.5 <= _delay(1, refused) <= 37.5 for _ in range(20))


def test_a_door_that_was_never_shut_is_not_gone_through_early(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers and refuses gets the whole wait; so does what has no door, and a stop ends it."""
    monkeypatch.setattr("edge_tdn.capture.reconnect.KNOCK_S", 0.1)
    for address in (camera.url, "gst: videotestsrc"):
        began = time.monotonic()
        door(address).wait(0.6, threading.Event())
        assert time.monotonic() - began >= 0.6
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    door(f"http://127.0.0.1:{free_port()}/").wait(9999, stop)


def door(source: str) -> Door:
    return Door(CameraConfig(name="c", source=source), Path())


def test_a_door_is_a_port_or_a_device(camera: Camera) -> None:
    assert is_open(camera.url)
    assert is_open("/dev/null")
    assert is_open("/dev/video-none") is False
    assert is_open(f"rtsp://user:p@ss@127.0.0.1:{free_port()}/live") is False
    assert is_open("rtsp://no.such.host.invalid/live") is False
    assert is_open("gst: videotestsrc") is None


@both
def test_nothing_is_left_of_a_broken_connection(run: Callable[..., Running], camera: Camera, decoder: str) -> None:
    """Threads and open files after 7 connects are those after 3."""
    process = psutil.Process()
    source = run(camera, decoder)
    usual: list[tuple[int, int]] = []

    def held() -> tuple[int, int]:
        return process.num_threads(), process.num_fds()

    def is_usual() -> bool:
        return all(now <= max(before) for now, before in zip(held(), zip(*usual, strict=True), strict=True))

    for number in range(7):
        count = source.count
        source.wait(lambda before=count: source.count > before + 2)  # type: ignore[misc]
        camera.kill()
        source.wait(lambda: source.told[-1][0] != "streaming")
        if number < 3:
            usual.append(min(time.sleep(0.06) or held() for _ in range(5)))
        else:
            source.wait(is_usual)  # what is torn down takes its time on a busy host
        camera.start()
