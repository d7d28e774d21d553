"""Cameras that freeze, hang, disappear and return: the source's states and connections. Real servers and decoders."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import psutil
import pytest

from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.media import gstreamer
from tests.support.http_camera import RATE, MjpegCamera
from tests.support.running_source import PROMPT_S, RunningSource

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
# A tenth of the default waits; limits of what a busy machine delays are longer.
FAST = CaptureTiming(
    first_frame_s=100_000.0,
    stall_s=60.0,
    retry_min_s=0.1,
    retry_max_s=6.0,
    backoff_reset_s=0.5,
    frozen_retry_min_s=1.0,
    frozen_retry_max_s=2.0,
    max_frozen_doubt_s=0.5,
    port_probe_s=0.2,
    first_port_probe_s=0.05,
    port_timeout_s=60.0,
)
NEVER_TWICE = replace(FAST, retry_growth=100_000.0, retry_max_s=10_000.0)  # hours before the second retry in a row
Start = Callable[..., RunningSource]


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    camera = MjpegCamera()
    yield camera
    camera.kill()


@pytest.fixture
def start(run: Callable[..., RunningSource]) -> Start:
    """start(camera, decoder, timing, **keys) -> RunningSource, which keeps no frames."""

    def begin(
        camera: MjpegCamera, decoder: str = "gstreamer", timing: CaptureTiming = FAST, **keys: object
    ) -> RunningSource:
        return run(camera.url, decoder, timing=timing, keep=False, **keys)

    return begin


def wait_for_more(source: RunningSource, frames: int) -> None:
    before = source.count
    source.wait(lambda: source.count > before + frames)


# Frozen pictures


def test_a_frozen_camera_gives_no_frames_until_the_picture_changes(start: Start, camera: MjpegCamera) -> None:
    """Meanwhile it is reconnected, ever more rarely, and its state stays."""
    source = start(camera, frozen_s=1.0)
    source.wait(lambda: source.count >= RATE)
    camera.mode = "frozen"
    assert source.wait_for("frozen") == "the same picture for 1 s"
    count, stream = source.count, source.stream
    source.wait(lambda: len(camera.connected_s) >= 2)
    assert source.count == count
    assert set(source.entered()[2:]) == {"frozen"}
    camera.mode = "live"
    source.wait(lambda: source.count > count)
    assert source.states[-1] == ("streaming", "")
    assert source.stream > stream  # so the window is emptied


def test_a_frozen_picture_is_accepted_where_the_check_is_off(start: Start, camera: MjpegCamera) -> None:
    camera.mode = "frozen"
    source = start(camera, frozen_s=0.0)
    source.wait(lambda: source.count >= 1.5 * RATE)
    assert source.entered() == ["connecting", "streaming"]


# Connections


@both
def test_a_camera_that_hangs_is_stalled_and_can_be_stopped(start: Start, camera: MjpegCamera, decoder: str) -> None:
    """Nothing arrives over an open connection: noticed in time, also with a library that blocks for longer."""
    source = start(camera, decoder, replace(FAST, stall_s=1.0))
    source.wait(lambda: source.count >= 3)
    camera.mode = "hung"
    assert source.wait_for("stalled") == "no picture for 1 s"
    source.stop.set()
    source.end(PROMPT_S)


@pytest.mark.parametrize("mode", ["live", "booting"])
def test_a_camera_that_was_away_is_reconnected_when_its_port_opens(
    start: Start, camera: MjpegCamera, mode: str
) -> None:
    """Though the next retry is hours away; and though the port may open before the camera can serve."""
    source = start(camera, timing=NEVER_TWICE)
    source.wait(lambda: source.count >= 3)
    camera.kill()
    source.wait(lambda: source.entered().count("unreachable") >= 1 and source.source._port.closed)
    count, camera.mode = source.count, mode
    camera.start()
    source.wait(lambda: source.count > count)


def test_a_camera_that_breaks_off_is_reconnected_ever_more_rarely(start: Start, camera: MjpegCamera) -> None:
    """The camera answers, sends frames and breaks off: waits double, 0.1, 0.2, 0.4, 0.8 s, with a quarter of jitter."""
    camera.mode = "breaking"
    source = start(camera, timing=replace(FAST, backoff_reset_s=60.0))
    source.wait(lambda: len(camera.connected_s) >= 5)
    assert source.count >= 3
    pauses = [later - earlier for earlier, later in pairwise(camera.connected_s)]
    assert all(pause >= 0.075 * 2**n for n, pause in enumerate(pauses))


def test_a_camera_that_was_steady_is_reconnected_soon_each_time(start: Start, camera: MjpegCamera) -> None:
    """Every connection that lasted resets the back-off: else the second retry would take hours."""
    source = start(camera, timing=NEVER_TWICE)
    for dropped in range(3):
        wait_for_more(source, RATE)
        camera.mode = "dropping"
        source.wait(lambda before=dropped: len(camera.connected_s) > before + 1)  # type: ignore[misc]
    wait_for_more(source, 0)
    assert source.state == "streaming"


@both
def test_a_broken_connection_leaves_no_thread_or_file_open(start: Start, camera: MjpegCamera, decoder: str) -> None:
    """Threads and open files after 7 connections are those after 3."""
    process = psutil.Process()
    source = start(camera, decoder)
    usual: list[tuple[int, int]] = []

    def held() -> tuple[int, int]:
        return process.num_threads(), process.num_fds()

    def is_usual() -> bool:
        return all(now <= max(before) for now, before in zip(held(), zip(*usual, strict=True), strict=True))

    for number in range(7):
        wait_for_more(source, 2)
        camera.kill()
        source.wait(lambda: source.state != "streaming")
        if number < 3:
            usual.append(min(time.sleep(0.06) or held() for _ in range(5)))
        else:
            source.wait(is_usual)  # a busy machine takes its time to close them
        camera.start()
