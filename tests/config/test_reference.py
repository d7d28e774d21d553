"""configs/reference.toml shows every key with its default, and nothing else; every file in configs/ loads."""

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from edge_tdn.config.load import load
from edge_tdn.config.tables import ActionConfig, CameraConfig, Config, DecideConfig, RuntimeConfig
from edge_tdn.config.zone_tables import ZoneConfig, ZoneDecideConfig
from tests.conftest import ROOT

TEXT = (ROOT / "configs/reference.toml").read_text()


def tables(model: type[BaseModel], content: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name of every table below `model`, its model, and its content in the reference."""
    yield at, (model, content)
    for key, field in model.model_fields.items():
        for one in (field.annotation, *get_args(field.annotation)):
            if isinstance(one, type) and issubclass(one, BaseModel):
                below = content[key]
                if isinstance(below, list):
                    (below,) = below
                yield from tables(one, below, f"{at}.{key}".lstrip("."))


EXCEPTIONS_FROM: dict[type[BaseModel], tuple[type[BaseModel], ...]] = {
    ActionConfig: (DecideConfig,),
    ZoneConfig: (CameraConfig, RuntimeConfig),
    ZoneDecideConfig: (DecideConfig,),
}
TABLES = dict(tables(Config, tomllib.loads(TEXT)))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_every_file_in_configs_loads(path: Path) -> None:
    assert load(path).camera


def test_the_reference_has_every_table() -> None:
    assert TABLES.keys() == {
        "",
        "broker",
        "runtime",
        "decide",
        "decide.action",
        "outbox",
        "home_assistant",
        "record",
        "metrics",
        "web",
        "log",
        "camera",
        "camera.zone",
        "camera.zone.decide",
    }


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_reference_has_every_key_and_no_other(name: str) -> None:
    model, content = TABLES[name]
    assert content.keys() == model.model_fields.keys()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_reference_shows_the_default_of_every_key(name: str) -> None:
    """A required key has an example instead, and so has `host`; a table of exceptions has the defaults of another."""
    model, content = TABLES[name]
    fields = {key: field for key, field in model.model_fields.items() if f"{name}.{key}".lstrip(".") not in TABLES}
    general = {key: field for table in EXCEPTIONS_FROM.get(model, ()) for key, field in table.model_fields.items()}
    fields = {key: general.get(key, field) if field.default is None else field for key, field in fields.items()}
    defaults = {key: field.default for key, field in fields.items() if not field.is_required() and key != "host"}
    shown = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    assert {key: shown[key] for key in defaults} == defaults


def test_every_key_of_the_reference_has_a_comment_above() -> None:
    for above, line in pairwise(TEXT.splitlines()):
        if re.match(r"\w+ =", line):
            assert above.startswith("# "), line
