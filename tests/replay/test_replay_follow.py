"""A replay with a view that follows what moves: an actor that is small in the picture is recognised."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_tdn.__main__ import main
from edge_tdn.demo.demo_clip import RATE, pictures
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture
from tests.support.site import write_text

SECONDS = 6  # of the demo's clip: an object moves right
SMALL = 4  # times smaller than the demo's pictures
SITE = """
[[camera]]
name = "yard"
source = "rtsp://nowhere/x"
follow = {follow}
"""


def small_actor() -> Iterator[Picture]:
    """Yield pictures of the demo's clip, small, in the corner of a still scene."""
    noise = np.random.default_rng(1).integers(60, 190, (480, 640, 3), np.uint8)
    scene = cv2.GaussianBlur(noise, (0, 0), 5)
    for picture in islice(pictures(), SECONDS * RATE):
        shown = scene.copy()
        height, width = picture.shape[0] // SMALL, picture.shape[1] // SMALL
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        shown[300 : 300 + height, 420 : 420 + width] = small
        yield shown  # type: ignore[misc]


@pytest.mark.parametrize(("follow", "labels"), [("false", []), ("true", ["right"])])
def test_an_action_of_a_small_actor_is_recognised_by_following(
    follow: str, labels: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The view is chosen during the action, which does not end with that."""
    video = tmp_path / "yard.mp4"
    write_video(small_actor(), RATE, video)
    assert main(["replay", str(video), "--config", str(write_text(tmp_path, SITE.format(follow=follow)))]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["label"] for event in events if event["type"] == "start"] == labels
