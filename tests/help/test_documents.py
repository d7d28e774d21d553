"""The pages and the reference configuration: found in a checkout and in the wheel, cut into sections and tables."""

import tomllib

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.help.documents import anchor, pages, reference_file, sections, tables
from tests.conftest import ROOT

REFERENCE = reference_file().read_text()


def test_every_page_of_the_repository_is_a_topic_with_a_title() -> None:
    assert set(pages()) == {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert len(pages()) >= 6
    for topic, path in pages().items():
        assert path.read_text().startswith("# "), topic


def test_sections_end_at_the_next_heading_of_their_level() -> None:
    text = "# Page\nintroduction\n## One `key` (more)\na\n### Deep\nb\n```sh\n# comment\n```\n## Two\nc\n### Deep\nd\n"
    found = sections(text)
    assert list(found) == ["page", "one-key-more", "deep", "two", "deep-1"]
    assert found["one-key-more"] == "## One `key` (more)\na\n### Deep\nb\n```sh\n# comment\n```\n"
    assert found["deep"] == "### Deep\nb\n```sh\n# comment\n```\n"
    assert found["deep-1"] == "### Deep\nd\n"
    assert found["page"] == text


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("The broker", "the-broker"),
        ("`--config`, and more", "--config-and-more"),
        ("a_b: c?", "a_b-c"),
        ("max_clip_s - seconds", "max_clip_s---seconds"),
        ("State of [mosquitto](https://example.org) 2.0", "state-of-mosquitto-20"),
    ],
)
def test_an_anchor_is_that_of_github(heading: str, expected: str) -> None:
    assert anchor(heading) == expected


def test_the_tables_of_the_reference_are_those_of_the_configuration_and_parse_alone() -> None:
    """Together with the keys above the first table, they are the whole file."""
    found = tables(REFERENCE)
    fields = {name for name in Config.model_fields if name not in ("host", "include")}
    assert {name.partition(".")[0] for name in found} == fields
    parsed = {name: tomllib.loads(text) for name, text in found.items()}
    whole = tomllib.loads(REFERENCE)
    assert parsed["decide.action"]["decide"]["action"] == whole["decide"]["action"]
    (camera,) = whole["camera"]
    (zone,) = camera.pop("zone")
    assert parsed["camera.zone.decide"]["camera"]["zone"]["decide"] == zone.pop("decide")
    assert parsed["camera.zone"]["camera"]["zone"] == [zone]
    assert parsed["camera"]["camera"] == [camera]
    assert parsed["broker"]["broker"] == whole["broker"]
    assert set(REFERENCE.splitlines()) - set("\n".join(found.values()).splitlines()) <= set(
        REFERENCE.partition("[broker]")[0].splitlines()
    )
