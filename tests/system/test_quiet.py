"""The defaults are quiet on busy real video, and still report what happens."""

from contextlib import closing
from pathlib import Path

import pytest

from edge_tdn.config.tables import CameraConfig, DecideConfig
from edge_tdn.demo.demo_clip import ACTIONS, demo_clip
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import Model
from tests.bench.quiet import GOAL, busiest_two, looped_events, play_once, starts

CAMERA = CameraConfig(name="camera", source="demo:")
BUSY = "sam2_01_dog.mp4", "sam2_03_blocks.mp4"  # the two with most starts


@pytest.mark.data
def test_two_busy_cameras_report_at_most_six_starts_a_minute(data: Path, motion: Model) -> None:
    """For five minutes. Without a cool-down it is a flood, and with a lower threshold more than the goal."""
    with closing(open_runtime(motion)) as runtime:
        played = [play_once(data / "videos" / name, motion, runtime, CAMERA) for name in BUSY]

    def rate(decide: DecideConfig) -> float:
        return busiest_two([starts(looped_events(one, 5, motion, decide)).total() / 5 for one in played])

    assert 2 <= rate(DecideConfig()) <= GOAL
    assert rate(DecideConfig(cool_down_s=0)) > 30
    assert rate(DecideConfig(cool_down_s=30)) > GOAL


def test_the_demo_clip_loops_with_every_action_and_none_within_a_minute_of_its_last_end(motion: Model) -> None:
    with closing(open_runtime(motion)) as runtime:
        played = play_once(demo_clip(), motion, runtime, CAMERA)
    counts = starts(looped_events(played, 5, motion, DecideConfig()))
    rounds = 5 * 60e9 / played.length_ns
    assert set(counts) == set(ACTIONS)
    assert all(rounds / 3 <= count <= rounds / 2 + 1 for count in counts.values()), "a round lasts 33 s: every other"
    every = starts(looped_events(played, 5, motion, DecideConfig(cool_down_s=0)))
    assert all(count >= rounds - 1 for count in every.values())
