"""Damaged videos play to their end or raise an error: a short form of `make chaos-cameras`."""

from pathlib import Path

import pytest

from edge_tdn.media import gstreamer
from tests.chaos_cameras import videos
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


def test_damaged_videos_end(tmp_path: Path) -> None:
    """None of twenty crashes or hangs the player; some are played, some are refused."""
    paths = list(videos.make(tmp_path, 20, seed=7))
    assert len(paths) == 20
    outcomes = videos.play(paths, "gstreamer", max_s=PATIENCE_S)
    kinds = [videos.kind(outcome) for outcome in outcomes.values()]
    assert len(kinds) == 20
    assert set(kinds) == {"played", "refused"}, outcomes


def test_a_player_that_crashes_or_hangs_is_reported(tmp_path: Path) -> None:
    """The next videos are played all the same."""
    good = next(videos.make(tmp_path, 1, seed=7))
    player = """
import os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    if "abort-now" in line:
        os.abort()
    if "sleep-now" in line:
        time.sleep(600)
    print("played: 1", flush=True)
"""
    paths = [tmp_path / "abort-now", good, tmp_path / "sleep-now", good.with_suffix(".too")]
    outcomes = videos.play(paths, "gstreamer", player=("-c", player), max_s=10.0)
    assert [videos.kind(outcome) for outcome in outcomes.values()] == ["crash", "played", "hang", "played"]
