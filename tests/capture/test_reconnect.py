"""The wait between two connections: back-off, and a port that is watched meanwhile."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.capture.reconnect import BackOff, PortWatcher, is_open
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from tests.support.http_camera import MjpegCamera
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, eventually

FAST = CaptureTiming(port_probe_s=0.1, first_port_probe_s=0.05, port_timeout_s=60.0)
UNREACHABLE, UNAUTHORIZED = SourceError("no", "unreachable"), SourceError("no", "unauthorized")


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    camera = MjpegCamera()
    yield camera
    camera.kill()


def watcher(source: str) -> PortWatcher:
    return PortWatcher(CameraConfig(name="c", source=source), Path(), FAST)


def waits(fault: SourceError, count: int) -> list[float]:
    """Return the first waits of a camera that fails at once with `fault`."""
    back_off = BackOff(DEFAULT_TIMING)
    return [back_off.next_s(fault, lasted_s=0.0) for _ in range(count)]


def test_waits_double_up_to_a_minute_with_a_quarter_of_jitter() -> None:
    for _ in range(20):
        for number, wait_s in enumerate(waits(UNREACHABLE, 99)):
            nominal_s = min(2.0**number, 60.0)
            assert 0.75 * nominal_s <= wait_s <= 1.25 * nominal_s


def test_a_rejected_password_is_retried_after_half_a_minute() -> None:
    for _ in range(20):
        first_s, second_s, third_s = waits(UNAUTHORIZED, 3)
        assert 22.5 <= first_s <= 37.5
        assert 45 <= second_s <= 75
        assert 45 <= third_s <= 75


def test_a_connection_that_lasted_resets_the_back_off() -> None:
    back_off = BackOff(DEFAULT_TIMING)
    for _ in range(5):
        back_off.next_s(UNREACHABLE, lasted_s=4.9)
    assert back_off.next_s(UNREACHABLE, lasted_s=5.0) <= 1.25
    assert 1.5 <= back_off.next_s(UNREACHABLE, lasted_s=0.0) <= 2.5
    back_off.reset()
    assert back_off.next_s(UNREACHABLE, lasted_s=0.0) <= 1.25


def test_a_port_that_closes_late_is_still_noticed_when_it_opens(camera: MjpegCamera) -> None:
    """A killed process closes its streams first: at that moment its port is still open."""
    port = watcher(camera.url)
    opened: list[bool] = []
    waiting = threading.Thread(target=lambda: opened.append(port.wait(9999, threading.Event())), daemon=True)
    waiting.start()
    eventually(lambda: port._answer is True)
    assert not port.closed
    camera.kill()
    eventually(lambda: port.closed)
    assert waiting.is_alive()
    camera.start()
    waiting.join(PATIENCE_S)
    assert opened == [True]


def test_a_port_that_was_never_closed_does_not_end_the_wait(camera: MjpegCamera) -> None:
    """A camera that answers and rejects us is left alone for the whole wait; so is a source without a port."""
    for address in (camera.url, "gst: videotestsrc"):
        began = time.monotonic()
        assert not watcher(address).wait(0.6, threading.Event())
        assert time.monotonic() - began >= 0.6


def test_a_stop_ends_the_wait() -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert not watcher(f"http://127.0.0.1:{free_port()}/").wait(9999, stop)


def test_ports_and_devices_are_open_or_closed(camera: MjpegCamera) -> None:
    assert is_open(camera.url, 1.0)
    assert is_open("/dev/null", 1.0)
    assert is_open("/dev/video-none", 1.0) is False
    assert is_open(f"rtsp://user:p@ss@127.0.0.1:{free_port()}/live", 1.0) is False
    assert is_open("rtsp://no.such.host.invalid/live", 1.0) is False
    assert is_open("gst: videotestsrc", 1.0) is None
