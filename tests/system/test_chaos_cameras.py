"""The short form of `make chaos-cameras`: two of every fault, at the same time as a start with everything away."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.media import gstreamer
from tests.chaos.row import ChaosRow, ChaosRows
from tests.chaos_cameras.cycles import KINDS, cycles
from tests.chaos_cameras.growth import growth
from tests.chaos_cameras.start import start

pytestmark = [
    pytest.mark.slow,  # minutes of waiting, and goals in seconds
    pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages"),
    pytest.mark.skipif(
        not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")),
        reason="mosquitto is not installed: make test-packages",
    ),
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosRows]:
    """Both programs run side by side: most of their time is waiting."""
    pytest.importorskip("gi").require_version("GstRtspServer", "1.0")
    demo_clip()
    folder = tmp_path_factory.mktemp("chaos")
    with ThreadPoolExecutor(2) as pool:
        started = pool.submit(start, folder / "start", lambda what: None)
        cycled = pool.submit(cycles, folder / "cycles", 2, list(KINDS), 3, lambda what: None, 0)
        yield [*started.result(), *cycled.result()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_camera_is_reported_in_time_and_streams_soon_after_it_returns(rows: ChaosRows, kind: str) -> None:
    found = [row for row in rows if row.what.startswith(kind)]
    assert len(found) == 2
    assert all(isinstance(row, ChaosRow) and row.ok for row in found), found


def test_a_frozen_camera_gives_no_event_and_no_fault_leaves_a_thread_or_file_open(rows: ChaosRows) -> None:
    found = [row for row in rows if row.what.startswith(("events", "left behind"))]
    assert len(found) == 2
    assert all(isinstance(row, ChaosRow) and row.ok for row in found), found


def test_broker_and_cameras_may_be_away_at_the_start(rows: ChaosRows) -> None:
    """How soon is for `make chaos-cameras` to measure, on a host that does nothing else."""
    found = [row for row in rows if row.what.startswith(("start", "and everything"))]
    assert len(found) == 2
    assert all(isinstance(row, ChaosRow) and "never" not in row.figure for row in found), found


def test_growth_is_reported_where_it_is_significant() -> None:
    hours = [n / 10 for n in range(10)]
    flat = growth("memory", 2, "MB in an hour", hours, [100 + 0.01 * (n % 2) for n in range(10)], "")
    leaking = growth("memory", 2, "MB in an hour", hours, [100 + 0.5 * n for n in range(10)], "")
    restless = growth("memory", 2, "MB in an hour", hours, [100 + 20 * (n % 2) for n in range(10)], "")
    assert isinstance(flat, ChaosRow)
    assert flat.ok
    assert isinstance(leaking, ChaosRow)
    assert not leaking.ok
    assert not isinstance(restless, ChaosRow)
