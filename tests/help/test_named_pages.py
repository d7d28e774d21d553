"""Pages, sections and tables that messages and files name can be printed; none names a file of the checkout."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.help.documents import pages, reference_file, sections, tables
from tests.conftest import ROOT

PACKAGES = (ROOT / "edge_tdn", ROOT / "export/edge_tdn_export", ROOT / "training/edge_tdn_training")
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
TEXTS = [
    *SOURCES,
    *(path for folder in ("docs", "systemd", "packaging", "configs") for path in (ROOT / folder).rglob("*")),
    ROOT / "README.md",
    ROOT / "Makefile",
]
PAGE = re.compile(r"[`\"]edge-tdn docs ([a-z][\w-]*)(?:#([\w-]+))?[`\"]")
TABLE = re.compile(r"[`\"]edge-tdn reference ([a-z][\w.]*)[`\"]")
CHECKOUT_ONLY = re.compile(r"(?<![\w/])(docs|configs)/\w")


def named(pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    texts = [path.read_text() for path in TEXTS if path.is_file() and path.suffix not in (".png", ".jpg", ".json")]
    return sorted({tuple(found.groups("")) for text in texts for found in pattern.finditer(text)})


def messages(source: Path) -> Iterator[str]:
    """Yield the strings of a module, without docstrings."""
    tree = ast.parse(source.read_text())
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = list(ast.walk(tree))
    docstrings = {id(node.body[0].value) for node in nodes if isinstance(node, documented) and ast.get_docstring(node)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_pages_sections_and_tables_are_named() -> None:
    """The parametrised tests below would pass on empty lists."""
    assert ("troubleshooting", "broker") in named(PAGE)
    assert ("bridge", "") in named(PAGE)
    assert len(named(TABLE)) >= 2


@pytest.mark.parametrize(("topic", "section"), named(PAGE))
def test_every_named_page_and_section_exists(topic: str, section: str) -> None:
    assert topic in pages()
    assert not section or section in sections(pages()[topic].read_text())


@pytest.mark.parametrize("table", [table for (table,) in named(TABLE)])
def test_every_named_table_of_the_reference_exists(table: str) -> None:
    assert table in tables(reference_file().read_text())


def test_no_message_names_a_file_that_only_a_checkout_has() -> None:
    """In the wheel there is neither docs/ nor configs/: `edge-tdn docs` and `edge-tdn reference` print them."""
    assert len(SOURCES) > 200
    own = ROOT / "edge_tdn/cli/docs.py"  # which accepts docs/models.md for models
    found = [(path.name, text) for path in SOURCES if path != own for text in messages(path)]
    assert len(found) > 1000
    assert [(name, text) for name, text in found if CHECKOUT_ONLY.search(text)] == []
