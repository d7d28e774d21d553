"""The tables of zones: shapes, names, exceptions from [decide], and the line of every error."""

from pathlib import Path

import pytest

from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError

CAMERA = """\
[[camera]]
name = "yard"
source = "yard.mp4"
"""
OTHER = """\
[[camera]]
name = "hall"
source = "hall.mp4"

[[camera.zone]]
name = "stairs"
"""


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return load(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_zone_has_exceptions_from_decide(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[decide]\nenter_threshold = 0.8\nonly = ['a']\n"
        + CAMERA
        + "[[camera.zone]]\nname = 'gate'\n[camera.zone.decide]\nonly = ['b']\nexit_threshold = 0.1\n"
        + "[[camera.zone]]\nname = 'path'\nregion = [0.5, 0.5, 0.5, 0.5]\n",
    )
    gate, path = config.camera[0].zone
    own = config.decide.within(gate.decide)
    assert (own.enter_threshold, own.exit_threshold, own.only) == (0.8, 0.1, ("b",))
    assert config.decide.within(path.decide) == config.decide


@pytest.mark.parametrize(
    ("keys", "line", "message"),
    [
        ("region = [0.5, 0.5, 0.6, 0.5]", 15, ".region: allowed: [left, top, width, height] from 0 to 1; width and"),
        ("region = [0.5, 0.5, 0.0, 0.5]", 15, ".region: allowed: [left, top, width, height]"),
        ("polygon = [[0.1, 0.1], [0.9, 0.1]]", 15, ".polygon: 2 corners; at least 3 are needed: [[x, y], [x, y], "),
        (
            "polygon = [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]",
            15,
            ".polygon: all corners are on one line; a zone needs an",
        ),
        (
            "polygon = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]",
            15,
            ".polygon: the edge from [0.1, 0.1] to [0.9, 0.9] crosses the one from [0.9, 0.1] to [0.1, 0.9]; list the "
            "corners in the order of the outline",
        ),
        ("polygon = [[0.1, 0.1], [0.9, 0.1], [0.1, 0.1]]", 15, ".polygon: the corner (0.1, 0.1) occurs twice; list"),
        (
            "polygon = [[0.1, 1.1], [0.9, 0.1], [0.5, 0.5]]",
            15,
            ".polygon[0][1] = 1.1: should be less than or equal to 1",
        ),
        (
            "region = [0.0, 0.0, 0.5, 0.5]\npolygon = [[0, 0], [1, 0], [0, 1]]",
            13,
            ": has a region and a polygon; remove",
        ),
        (
            "precision = 'int4'",
            15,
            ".precision = 'int4': should be 'fp32', 'fp16', 'bf16' or 'int8'; did you mean 'int8'?",
        ),
        ("hop = 0", 15, ".hop = 0: should be greater than or equal to 1"),
        ("roi = [0, 0, 1, 1]", 15, ".roi: unknown key; did you mean 'region'? (part of the camera's picture, as"),
        ("only = ['a']", 15, ".only: unknown key; write it below [camera.zone.decide]"),
    ],
)
def test_an_invalid_zone_is_named_with_its_line(keys: str, line: int, message: str, tmp_path: Path) -> None:
    """Of the second camera, whose first zone is valid."""
    text = f"{OTHER}\n{CAMERA}[[camera.zone]]\nname = 'gate'\n[[camera.zone]]\nname = 'path'\n{keys}\n"
    assert refused(tmp_path, text).startswith(f"site.toml:{line}: camera[1].zone[1]{message}")


def test_two_zones_of_one_name_are_refused(tmp_path: Path) -> None:
    text = CAMERA + 2 * "[[camera.zone]]\nname = 'gate'\n"
    expected = "site.toml:4: camera[0].zone: duplicate zone name 'gate'; each zone of a camera needs a unique name"
    assert refused(tmp_path, text) == expected


def test_contradicting_limits_of_a_zone_are_refused(tmp_path: Path) -> None:
    text = CAMERA + "[[camera.zone]]\nname = 'gate'\n[camera.zone.decide]\nenter_threshold = 0.3\n"
    message = refused(tmp_path, text)
    assert message.startswith("site.toml:6: camera[0].zone[0].decide: zone 'gate': exit_threshold 0.4")
    assert "is above enter_threshold 0.3" in message


def test_contradicting_limits_of_an_action_in_a_zone_are_refused(tmp_path: Path) -> None:
    action = "[[decide.action]]\nname = 'fall'\nenter_threshold = 0.5\n"
    text = action + CAMERA + "[[camera.zone]]\nname = 'gate'\n[camera.zone.decide]\nexit_threshold = 0.6\n"
    message = refused(tmp_path, text)
    assert message.startswith(
        "site.toml:9: camera[0].zone[0].decide: zone 'gate': action 'fall': exit_threshold 0.6 is"
    )


def test_numbers_of_a_zone_may_be_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOP", "3")
    monkeypatch.setenv("ENTER", "0.9")
    zone = "[[camera.zone]]\nname = 'gate'\nhop = '${HOP}'\n[camera.zone.decide]\nenter_threshold = '${ENTER}'\n"
    (gate,) = read(tmp_path, CAMERA + zone).camera[0].zone
    assert (gate.hop, gate.decide.enter_threshold) == (3, 0.9)


def test_a_key_with_dots_has_its_own_line(tmp_path: Path) -> None:
    text = CAMERA + "[[camera.zone]]\nname = 'gate'\ndecide.several = true\ndecide.hop = 2\n"
    assert refused(tmp_path, text).startswith("site.toml:7: camera[0].zone[0].decide.hop: unknown key")


def test_single_brackets_are_explained(tmp_path: Path) -> None:
    text = CAMERA + "[camera.zone]\nname = 'gate'\n"
    expected = "site.toml:4: camera[0].zone: write [[camera.zone]], with two brackets: one table for each zone"
    assert refused(tmp_path, text) == expected


def test_the_model_of_a_zone_in_an_included_file_is_relative_to_that_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/camera.toml").write_text(CAMERA + "[[camera.zone]]\nname = 'gate'\nmodel = 'models/gate'\n")
    config = read(tmp_path, "include = ['more/camera.toml']\n")
    assert config.camera[0].zone[0].model == f"{tmp_path}/more/models/gate"
