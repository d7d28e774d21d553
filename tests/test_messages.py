"""The messages that leave the host: their schemas are published and current."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from edge_tdn import messages, status_messages
from edge_tdn.errors import EdgeTdnError
from tests.conftest import ROOT

SCHEMAS = ROOT / "edge_tdn/schemas"


@pytest.mark.parametrize("name", status_messages.PUBLISHED)
def test_a_published_schema_equals_the_one_of_the_code(name: str) -> None:
    schema = json.loads(status_messages.json_schema(name))
    assert json.loads((SCHEMAS / f"{name}.json").read_text()) == schema, "run: make schemas"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_schema_belongs_to_a_message() -> None:
    assert {path.stem for path in SCHEMAS.iterdir()} == set(status_messages.PUBLISHED)


def test_times_are_utc_with_milliseconds() -> None:
    assert messages.iso(0) == "1970-01-01T00:00:00.000Z"
    assert messages.iso(1_772_366_400_250_999_999) == "2026-03-01T12:00:00.250Z"


def test_a_subscriber_ignores_unknown_keys() -> None:
    ref = messages.ModelRef.model_validate({"id": "m", "precision": "fp32", "sha256": "0" * 64, "new": 1})
    assert ref.id == "m"


@pytest.mark.parametrize("kind", [messages.Frame, messages.Segment, messages.Scores])
def test_messages_are_frozen(kind: type) -> None:
    assert dataclasses.fields(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_the_tree_of_errors_lists_their_exit_statuses() -> None:
    """The tree at the top of errors.py equals the one of the code."""
    text = (ROOT / "edge_tdn/errors.py").read_text().split('"""')[1]
    for kind in EdgeTdnError.__subclasses__():
        if kind.__module__ == "edge_tdn.errors":
            (line,) = [line for line in text.splitlines() if f" {kind.__name__} " in line]
            assert line.endswith(f"exit {kind.exit_status}")


def test_schemas_are_inside_the_package() -> None:
    assert Path(messages.__file__).parent == SCHEMAS.parent
