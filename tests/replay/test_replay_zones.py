"""A replay of a camera with zones: each has its own model, limits and events, and rows in the picture."""

import json
from datetime import datetime
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from edge_tdn.__main__ import main
from edge_tdn.demo.demo_clip import RATE, pictures
from edge_tdn.media.video_writer import write_video
from edge_tdn.replay.plot import MAX_ROWS, ScoredClip, ZoneScores, most_active
from tests.support.site import write_text

SECONDS = 6  # of the demo's clip: an object moves right
SEGMENT_S = 4 / 15  # of the shipped model
CAMERA = '[[camera]]\nname = "yard"\nsource = "rtsp://nowhere/x"\n'
WHOLE = '[[camera.zone]]\nname = "all"\n'
ZONES = """
[[camera.zone]]
name = "gate"
region = [0.0, 0.0, 0.9, 1.0]
precision = "int8"

[[camera.zone]]
name = "field"
region = [0.0, 0.0, 1.0, 0.95]
hop = 4

[[camera.zone]]
name = "lawn"
polygon = [[0.0, 0.1], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
decide.only = ["left"]

[[camera.zone]]
name = "dot"
region = [0.1, 0.1, 0.02, 0.02]
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zones") / "yard.mp4"
    write_video(islice(pictures(), SECONDS * RATE), RATE, path)
    return path


def replayed(site: Path, video: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[list[str], str]:
    """Return the lines of the events, and what was printed on stderr."""
    assert main(["replay", str(video), "--config", str(site), *more]) == 0
    output = capsys.readouterr()
    return output.out.splitlines(), output.err


@pytest.mark.parametrize("more", ["", 'polygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\nprecision = "fp32"\n'])
def test_a_zone_of_the_whole_picture_gives_the_events_of_a_camera_without_zones(
    more: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Byte for byte, but for `zone`."""
    without, _ = replayed(write_text(tmp_path, CAMERA), video, capsys)
    zone, printed = replayed(write_text(tmp_path, CAMERA + WHOLE + more), video, capsys)
    assert [line.replace('"zone":"all",', "") for line in zone] == without
    assert all('"zone":"all"' in line for line in zone)
    assert "zone all: actions recognised: right 1" in printed


def test_each_zone_has_its_own_precision_hop_and_actions(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The events are numbered for the camera, in the order in which they happen."""
    site = write_text(tmp_path, CAMERA + ZONES)
    lines, printed = replayed(site, video, capsys, "--plot", str(tmp_path / "plot.png"))
    events = [json.loads(line) for line in lines]
    assert {event["zone"] for event in events} == {"gate", "field"}, "it moves right, and the lawn reports `left` only"
    for zone, precision in (("gate", "int8"), ("field", "fp32")):
        assert {event["model"]["precision"] for event in events if event["zone"] == zone} == {precision}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    happened = [event["window"]["to"] for event in events]
    before_the_end = [at for at, event in zip(happened, events, strict=True) if event["reason"] != "video_ended"]
    assert before_the_end == sorted(before_the_end)
    first, last = (datetime.fromisoformat(happened[at]) for at, event in enumerate(events) if event["zone"] == "field")
    clips = (last - first).total_seconds() / (4 * SEGMENT_S)
    assert clips == pytest.approx(round(clips), abs=0.01), "its start and its end are decided on every fourth segment"
    assert "zone gate: actions recognised: right 1" in printed
    assert "zone lawn: actions recognised: none" in printed
    assert "zone dot: 10x8 pixels of the picture of 480x360; a zone needs at least 32x32" in printed
    with Image.open(tmp_path / "plot.png") as image:
        assert image.format == "PNG"
    alone, printed = replayed(site, video, capsys, "--zone", "field")
    unnumbered = {"id": "", "seq": 0}
    expected = [{**event, **unnumbered} for event in events if event["zone"] == "field"]
    assert [{**json.loads(line), **unnumbered} for line in alone] == expected
    assert "lawn" not in printed


def test_an_unknown_zone_is_reported_with_those_that_there_are(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write_text(tmp_path, CAMERA + ZONES)
    assert main(["replay", str(video), "--config", str(site), "--zone", "gat"]) == 78
    expected = "camera yard has no zone named 'gat'; did you mean 'gate'? its zones: gate, field, lawn, dot"
    assert expected in capsys.readouterr().err


def test_every_zone_has_rows_in_the_picture() -> None:
    """What happened comes first, then the highest scores of each zone; they are drawn zone by zone."""
    names = [f"action {number}" for number in range(10)]
    limits = dict.fromkeys(names, (0.7, 0.4))
    loud = ZoneScores("loud", [ScoredClip(1.0, {name: 0.5 + n / 100 for n, name in enumerate(names)})], limits)
    quiet = ZoneScores("quiet", [ScoredClip(1.0, {name: n / 100 for n, name in enumerate(names)})], limits)
    rows = [(zone.zone, name) for zone, name in most_active([loud, quiet], {("quiet", "action 0")})]
    assert len(rows) == MAX_ROWS
    assert rows[:6] == [("loud", name) for name in names[4:]]
    assert rows[6:] == [("quiet", name) for name in [names[0], *names[5:]]]
