"""The endpoints of one camera: scores, what other thresholds would have given, and the lines of a drawn zone."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edge_tdn.messages import NS_PER_MS, iso
from tests.support.decisions import HOP_MS, LEFT, RIGHT, STILL, WALL_NS, scores
from tests.support.page_rig import PageRig, ScriptedDaemon, camera_place, camera_state, page_rig, zone_place

SCORES = "/api/camera/door/scores"
WHAT_IF = "/api/camera/door/what-if"
LINES = "/api/camera/door/zone-lines"
WEAK_LEFT = (0.45, 0.5, 0.05)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PageRig]:
    with page_rig(tmp_path) as running:
        yield running


def score(rig: PageRig, *clips: tuple[float, ...], first: int = 0) -> None:
    """Let clips be scored, with these probabilities."""
    kept = rig.kept()
    for number, clip in enumerate(clips, first):
        kept.scored(scores(number, clip))


def at_ms(number: int) -> int:
    return WALL_NS // NS_PER_MS + number * HOP_MS


def test_the_scores_of_each_action_are_in_a_list_of_its_own(rig: PageRig) -> None:
    score(rig, STILL, LEFT, RIGHT)
    found = rig.page.ask(SCORES).content
    assert found == {
        "zone": None,
        "seconds": 0.5,
        "at_ms": [at_ms(0), at_ms(1), at_ms(2)],
        "actions": ["left", "right"],
        "scores": [[0.05, 0.9, 0.05], [0.05, 0.05, 0.9]],
        "thresholds": {"enter": 0.6, "exit": 0.4, "actions": {}},
        "action": None,
    }


def test_a_break_is_a_gap_in_the_scores(rig: PageRig) -> None:
    score(rig, LEFT)
    rig.kept().broken("stream_lost")
    score(rig, STILL, first=8)
    found = rig.page.ask(SCORES).content
    assert found["at_ms"] == [at_ms(0), at_ms(0) + 1, at_ms(8)]
    assert found["scores"] == [[0.9, None, 0.05], [0.05, None, 0.05]]


def test_scores_are_returned_from_a_time_on(rig: PageRig) -> None:
    score(rig, STILL, LEFT, RIGHT)
    since = iso(WALL_NS + HOP_MS * NS_PER_MS)
    assert rig.page.ask(f"{SCORES}?since={since}").content["at_ms"] == [at_ms(2)]


def test_a_plot_has_a_limited_number_of_points(rig: PageRig) -> None:
    """The highest score of those that share a point is shown."""
    score(rig, *([STILL] * 700), LEFT, *([STILL] * 700))
    found = rig.page.ask(SCORES).content
    assert len(found["at_ms"]) <= 600
    assert found["at_ms"] == sorted(set(found["at_ms"]))
    assert max(found["scores"][0]) == 0.9


def test_a_camera_without_a_clip_has_no_scores(rig: PageRig) -> None:
    found = rig.page.ask(SCORES).content
    assert (found["at_ms"], found["actions"], found["scores"]) == ([], ["left", "right"], [[], []])
    refused = rig.page.ask(f"{WHAT_IF}?enter=0.5&exit=0.4")
    assert (refused.status, refused.error) == (409, "camera door has no scores yet: its first clip is not complete")


def test_other_thresholds_are_tried_on_the_kept_scores(rig: PageRig) -> None:
    score(rig, STILL, LEFT, STILL, WEAK_LEFT, STILL, RIGHT)
    found = rig.page.ask(f"{WHAT_IF}?enter=0.45&exit=0.3").content
    assert [one["label"] for one in found["now"]["actions"]] == ["left", "right"]
    assert [one["label"] for one in found["then"]["actions"]] == ["left", "left", "right"]
    assert (found["now"]["count"], found["then"]["count"]) == (2, 3)
    weak = found["then"]["actions"][1]
    assert math.isclose(weak["peak"], 0.5, abs_tol=0.001)
    assert weak["ended_at"] is not None
    assert found["then"]["actions"][2]["ended_at"] is None
    assert found["seconds"] == pytest.approx(1.25, abs=0.1)
    assert found["toml"].endswith("[decide]\nenter_threshold = 0.45\nexit_threshold = 0.3\n")


def test_thresholds_of_one_action_are_tried(rig: PageRig) -> None:
    score(rig, STILL, WEAK_LEFT, STILL, RIGHT)
    found = rig.page.ask(f"{WHAT_IF}?enter=0.45&exit=0.3&label=left").content
    assert [one["label"] for one in found["then"]["actions"]] == ["left", "right"]
    assert 'name = "left"' in found["toml"]
    refused = rig.page.ask(f"{WHAT_IF}?enter=0.45&exit=0.3&label=jump")
    assert refused.status == 422
    assert refused.error.startswith("no action 'jump' is reported")


def test_scores_of_another_model_are_not_shown(rig: PageRig) -> None:
    """A reload has changed the model, and its first clip has not come."""
    score(rig, STILL, LEFT)
    rig.daemon.cameras = [camera_place("door", zone_place(labels=("still", "left", "right", "up")))]
    assert rig.page.ask(SCORES).content["at_ms"] == []
    assert rig.page.ask(f"{WHAT_IF}?enter=0.5&exit=0.4").status == 409


def test_a_zone_has_scores_of_its_own(tmp_path: Path) -> None:
    zones = [zone_place("gate", action="left"), zone_place("path")]
    with page_rig(tmp_path, ScriptedDaemon(cameras=[camera_place("door", *zones)])) as rig:
        rig.kept("gate").scored(scores(0, LEFT))
        found = rig.page.ask(f"{SCORES}?zone=gate").content
        assert (found["zone"], found["scores"][0], found["action"]) == ("gate", [0.9], "left")
        assert rig.page.ask(f"{SCORES}?zone=path").content["at_ms"] == []
        assert rig.page.ask(SCORES).status == 404
        assert rig.page.ask(f"{SCORES}?zone=attic").error == "camera door: no zone 'attic'; its zones: gate, path"
        found = rig.page.ask(f"{WHAT_IF}?zone=gate&enter=0.5&exit=0.4").content
        assert '[[camera.zone]] with name = "gate"' in found["toml"]


def test_a_drawn_region_is_returned_as_lines_for_the_configuration(rig: PageRig) -> None:
    found = rig.page.ask(f"{LINES}?name=gate&region=0.1,0.2,0.5,0.25").content
    assert '[[camera.zone]]\nname = "gate"\nregion = [0.1, 0.2, 0.5, 0.25]\n' in found["toml"]
    assert (found["pixels"], found["too_small"]) == ([320, 120], "")


def test_a_drawn_polygon_is_returned_as_lines_for_the_configuration(rig: PageRig) -> None:
    found = rig.page.ask(f"{LINES}?name=gate&polygon=0.1,0.2;0.6,0.2;0.1,0.45").content
    assert "polygon = [[0.1, 0.2], [0.6, 0.2], [0.1, 0.45]]\n" in found["toml"]
    assert found["pixels"] == [320, 120]


def test_a_small_zone_is_reported(rig: PageRig) -> None:
    found = rig.page.ask(f"{LINES}?name=gate&region=0.1,0.2,0.02,0.5").content
    assert found["pixels"][0] < 32
    assert "a zone needs at least 32x32" in found["too_small"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (f"name={quote('a b')}&region=0,0,1,1", "name"),
        ("name=a&region=0.5,0,0.6,1", "left + width and top + height at most 1"),
        ("name=a&polygon=0,0;1,1;1,0;0,1", "crosses the one from"),
    ],
)
def test_a_zone_that_cannot_be_is_refused_as_by_check(rig: PageRig, query: str, error: str) -> None:
    refused = rig.page.ask(f"{LINES}?{query}")
    assert refused.status == 422
    assert error in refused.error


def test_a_zone_needs_a_camera_that_has_sent_a_picture(rig: PageRig) -> None:
    changes: dict[str, Any] = {"width": 0, "height": 0, "state": "connecting"}
    rig.daemon.statuses = [camera_state(**changes)]
    refused = rig.page.ask(f"{LINES}?name=a&region=0,0,1,1")
    assert (refused.status, refused.error) == (409, "camera door has not sent a picture yet")


def test_an_unknown_camera_is_refused(rig: PageRig) -> None:
    for path in ("scores", "what-if?enter=1&exit=1", "zone-lines?name=a&region=0,0,1,1"):
        refused = rig.page.ask(f"/api/camera/attic/{path}")
        assert (refused.status, refused.error) == (404, "no camera 'attic'")
