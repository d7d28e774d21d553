"""The rules of tests/style/rules.py, applied to the whole project (`make check`)."""

import re
from pathlib import Path

import pytest

from tests.conftest import LONG
from tests.style import rules
from tests.style.rules import PACKAGES, ROOT, Source

pytestmark = pytest.mark.style

# Parts of lines in which such a word is right, and why.
ALLOWED = {
    "file.tell()": "a method of files",
}
PRODUCT = rules.sources(PACKAGES.values())
EVERYTHING = PRODUCT + rules.sources([ROOT / "tests"])
TEXTS = [
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "configs/*.toml",
        "configs/*/*",
        "systemd/*",
        "packaging/**/*",
        "Makefile",
        "pyproject.toml",
        ".ci/run",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
] + [*sorted((ROOT / "edge_tdn/schemas").glob("*.json")), *(ROOT / "edge_tdn").glob("*/README.md")]


def test_the_words_are_those_of_the_field() -> None:
    """Docstrings, comments, messages and names avoid the words of `rules.DIALECT`."""
    checked = [source for source in EVERYTHING if not source.name.startswith("tests/style/")]
    assert len(ALLOWED) <= 10
    assert rules.dialect(checked, tuple(ALLOWED)) == []


def test_the_words_of_documents_and_configurations_are_those_of_the_field() -> None:
    assert len(TEXTS) > 15
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in rules.PATTERN.finditer(line)
    ]
    assert found == []


def test_few_docstrings_begin_with_a_fragment() -> None:
    found, docstrings = rules.fragments(PRODUCT)
    assert docstrings > 1000
    assert len(found) <= rules.MAX_FRAGMENT_SHARE * docstrings, found


def test_no_file_is_long() -> None:
    assert rules.long_files(PRODUCT) == []


def test_no_class_has_many_attributes() -> None:
    assert rules.large_classes(PRODUCT) == []


def test_public_class_names_are_unique() -> None:
    assert rules.repeated_class_names(PRODUCT) == []


def test_the_files_that_start_first_exist() -> None:
    assert not [name for name in LONG if not (ROOT / "tests" / name).is_file()]


def test_the_formatter_formats() -> None:
    assert len(rules.unformatted(EVERYTHING)) <= rules.MAX_UNFORMATTED, rules.unformatted(EVERYTHING)


def test_no_import_is_hidden_from_the_contracts() -> None:
    assert rules.hidden_imports(PRODUCT) == []


def test_no_test_module_imports_another() -> None:
    found = [
        f"{source.name}: {name}"
        for source in rules.sources([ROOT / "tests"])
        for name in re.findall(r"^\s*from (tests\.[\w.]*\btest_\w+) import", source.text, re.M)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('"""Nobody is told."""', "'Nobody'"),
        ("# it goes on\n", "'goes on'"),
        ("REPLAYS_MOST = 8\n", "'REPLAYS_MOST'"),
        ("def test_a_camera_that_is_told() -> None: ...\n", "'told'"),
        ('print("this is no video")\n', "'is no video'"),
    ],
)
def test_the_words_are_found(text: str, finding: str, tmp_path: Path) -> None:
    """The rule itself works in docstrings, comments, constants, function names and messages."""
    found = rules.dialect([Source(tmp_path / "a.py", text)])
    assert any(finding in line for line in found)


@pytest.mark.parametrize("text", ["# there is no frame\n", "# it is no longer there\n", "MAX_REPLAYS = 8\n"])
def test_plain_words_pass(text: str, tmp_path: Path) -> None:
    assert rules.dialect([Source(tmp_path / "a.py", text)]) == []


def test_attributes_are_counted_once_per_class(tmp_path: Path) -> None:
    text = "class A:\n def __init__(self):\n  self.a = self.b = 1\n def f(self):\n  self.a, self.c = 2, 3\n  x.d = 4\n"
    (count,) = rules.attributes([Source(tmp_path / "a.py", text)]).values()
    assert count == 3
