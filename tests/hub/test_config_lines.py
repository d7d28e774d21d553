"""The lines that the page shows are those that the configuration takes."""

import tomllib
from pathlib import Path

import pytest

from edge_tdn.config.load import load
from edge_tdn.config.resolved_zones import resolved_zones
from edge_tdn.config.tables import Config
from edge_tdn.hub.config_lines import model_toml, thresholds_toml, zone_toml

CAMERA = '[[camera]]\nname = "door"\nsource = "demo:"\n'
ZONE = '[[camera.zone]]\nname = "gate"\n'


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return load(path)


def test_thresholds_of_all_cameras(tmp_path: Path) -> None:
    decide = loaded(tmp_path, thresholds_toml(None, None, 0.65, 0.3) + CAMERA).decide
    assert (decide.enter_threshold, decide.exit_threshold) == (0.65, 0.3)


def test_thresholds_of_an_action_whatever_its_name(tmp_path: Path) -> None:
    name = 'door "open" \\ Tür'
    (action,) = loaded(tmp_path, thresholds_toml("gate", name, 0.65, 0.3) + CAMERA).decide.action
    assert (action.name, action.enter_threshold, action.exit_threshold) == (name, 0.65, 0.3)


def test_thresholds_of_a_zone(tmp_path: Path) -> None:
    config = loaded(tmp_path, CAMERA + ZONE + thresholds_toml("gate", None, 1 / 3, 0))
    (zone,) = resolved_zones(config, config.camera[0])
    assert (zone.decide.enter_threshold, zone.decide.exit_threshold) == (0.3333, 0.0)


def test_a_zone_that_was_drawn(tmp_path: Path) -> None:
    drawn = zone_toml("gate", (0.6666, 0.1, 0.3334, 0.9)) + zone_toml("path", polygon=[(0, 0), (0.98765, 0), (1, 1)])
    gate, path = loaded(tmp_path, CAMERA + drawn).camera[0].zone
    assert (gate.name, gate.region) == ("gate", (0.667, 0.1, 0.333, 0.9))
    assert (path.name, path.polygon) == ("path", ((0.0, 0.0), (0.988, 0.0), (1.0, 1.0)))


@pytest.mark.parametrize(
    ("name", "region", "polygon", "reason"),
    [
        ("no spaces", (0.0, 0.0, 0.5, 0.5), (), "zone: name = 'no spaces': allowed: up to 64 letters"),
        ("gate", (0.5, 0.0, 0.6, 0.5), (), "zone: region: allowed: [left, top, width, height]"),
        ("gate", (0.5, 0.0, 0.0001, 0.5), (), "zone: region: allowed"),
        ("gate", None, ((0.0, 0.0), (1.0, 1.0)), "zone: polygon: 2 corners; at least 3 are needed"),
        ("gate", None, ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)), "crosses"),
    ],
)
def test_a_zone_that_cannot_be_is_refused_in_the_words_of_check(
    name: str, region: tuple[float, float, float, float] | None, polygon: tuple[tuple[float, float], ...], reason: str
) -> None:
    with pytest.raises(ValueError, match="zone") as refused:
        zone_toml(name, region, polygon)
    assert reason in str(refused.value)


def test_the_lines_say_where_they_belong() -> None:
    assert tomllib.loads(thresholds_toml("gate", None, 0.6, 0.4))
    assert thresholds_toml("gate", None, 0.6, 0.4).startswith('# below the [[camera.zone]] with name = "gate"\n')


def test_a_model_of_all_cameras_whatever_its_folder(tmp_path: Path) -> None:
    model = '/var/lib/my "page"/current'
    assert loaded(tmp_path, model_toml(model) + CAMERA).runtime.model == model
