"""README and docs: short, linked, and every link and anchor leads to something."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from edge_tdn.help.documents import sections
from edge_tdn.status_messages import json_schema
from tests.conftest import ROOT
from tests.support.documents import PAGES, README, Page

MAX_README_LINES = 130
MAX_PICTURE_BYTES = 200_000
LINKS = [(page, link) for page in PAGES for link in page.links]
PICTURES = sorted((ROOT / "docs").glob("*.png"))


def test_there_are_pages_links_and_pictures_to_test() -> None:
    """The parametrised tests below would pass on empty lists."""
    assert len(PAGES) >= 15
    assert len(LINKS) >= 40
    assert len(PICTURES) >= 4


def test_the_readme_is_short() -> None:
    assert len(README.text.splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize(("page", "link"), LINKS, ids=lambda value: getattr(value, "name", value))
def test_every_link_leads_to_a_file_and_anchor(page: Page, link: str) -> None:
    path, anchor = page.target(link)
    assert path.exists(), f"{page.name}: {link}"
    if anchor:
        assert path.suffix == ".md", f"{page.name}: {link}: only pages have anchors"
        anchors = list(sections(path.read_text()))
        assert anchor in anchors, f"{page.name}: {link}: there are {anchors}"


def test_every_page_and_picture_is_reached_from_the_readme() -> None:
    """Readers do not find a page without a link to it, and an unused picture is only carried along."""
    pages, reached, waiting = {page.path.resolve(): page for page in PAGES}, set(), [README.path.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [pages[path].target(link)[0] for link in pages[path].links] if path in pages else []
    assert {*pages, *(picture.resolve() for picture in PICTURES)} - reached == set()


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_loads_quickly(picture: Path) -> None:
    assert picture.stat().st_size <= MAX_PICTURE_BYTES


def test_the_event_of_the_readme_is_a_valid_one() -> None:
    """Shown as it is published."""
    (example,) = map(json.loads, README.texts("json"))
    schema = json.loads(json_schema("event"))
    jsonschema.validate(example, schema)
    assert set(schema["required"]) <= set(example) <= set(schema["properties"])
    assert example["type"] == "start"


def test_every_table_of_the_configuration_is_in_its_page() -> None:
    reference = (ROOT / "configs/reference.toml").read_text()
    page = (ROOT / "docs/configuration.md").read_text()
    assert re.findall(r"^\| `(\[.+?\])` \|", page, re.M) == re.findall(r"^\[.+\]$", reference, re.M)
