"""The blueprint and the automation in configs/home-assistant, against the documented schemas of Home Assistant.

https://www.home-assistant.io/docs/blueprint/schema/ and https://www.home-assistant.io/docs/automation/yaml/. Its own
code runs both in test_home_assistant_core.py.
"""

from collections.abc import Iterator
from typing import Any

import jinja2
import pytest

from tests.conftest import ROOT

yaml = pytest.importorskip("yaml")  # PyYAML is in the extra `dev`

FOLDER = ROOT / "configs/home-assistant"
ABOUT = {"name", "description", "domain", "author", "homeassistant", "input", "source_url"}
INPUT = {"name", "description", "default", "selector"}
AUTOMATION = {"alias", "description", "mode", "max", "max_exceeded", "variables", "triggers", "conditions", "actions"}
MODES = {"single", "restart", "queued", "parallel"}


class Input(str):
    """The name of an input that is used."""


class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
    """Loads YAML as Home Assistant does: with the tag !input, and without duplicate keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"duplicate key in line {node.start_mark.line + 1}"
        return dict(super().construct_mapping(node, deep))


Loader.add_constructor("!input", lambda loader, node: Input(node.value))


def load(name: str) -> dict[str, Any]:
    document = yaml.load((FOLDER / name).read_text(), Loader)
    assert isinstance(document, dict)
    return document


def strings(value: object) -> Iterator[str]:
    """Yield all texts in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def test_every_input_of_the_blueprint_is_declared_and_used() -> None:
    document = load("edge_tdn_notify.yaml")
    about = document.pop("blueprint")
    assert set(about) <= ABOUT
    assert about["domain"] == "automation"
    for one in about["input"].values():
        assert set(one) <= INPUT
        (kind,) = one["selector"]
        assert kind in ("device", "entity", "number", "text")
    assert {str(one) for one in strings(document) if isinstance(one, Input)} == set(about["input"])
    required = {name for name, one in about["input"].items() if "default" not in one}
    assert required == {"camera"}, "a newcomer chooses the camera and a phone, nothing else"


@pytest.mark.parametrize("name", ["edge_tdn_notify.yaml", "automation.yaml"])
def test_an_automation_has_documented_keys_and_its_templates_are_complete(name: str) -> None:
    document = load(name)
    about = document.pop("blueprint", {})
    assert set(document) <= AUTOMATION
    assert document["mode"] in MODES
    assert all(set(trigger) >= {"trigger", "entity_id"} for trigger in document["triggers"])
    for action in document["actions"]:
        (kind,) = set(action) & {"action", "delay", "if", "repeat", "variables", "wait_template"}
        assert kind != "action" or "." in action["action"]
    templates = [text for text in strings([document, about]) if "{" in text]
    assert len(templates) >= 2
    for text in templates:
        jinja2.Environment().parse(text)
