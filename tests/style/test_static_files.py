"""The rules of the page's files: plain words, short files, text only as text, contrast, unchanged files of others."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.style import rules
from tests.style.rules import MAX_FILE_LINES, ROOT

pytestmark = pytest.mark.style

STATIC = ROOT / "edge_tdn/web/static"
VENDOR = STATIC / "vendor"
OWN = [
    path
    for path in sorted(STATIC.rglob("*"))
    if path.suffix in {".js", ".css", ".html", ".svg"} and VENDOR not in path.parents
]
SCRIPTS = [path for path in OWN if path.suffix == ".js"]
MAX_LINE = 120
MAX_BYTES = 270_000  # of all files together: the page keeps them in memory
# Ways for a text of the daemon to become markup or code, and what the Content-Security-Policy refuses anyway.
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\s*\("
    r"|new Function|srcdoc|javascript:|setAttribute\(\s*[\"']style|\sstyle\s*=\s*\"|<[^>]+\son\w+\s*="
)
EXTERNAL = re.compile(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+/", re.I)
IMPORT = re.compile(r"import\s+(?:\{([^}]*)\}|\* as \w+)\s+from\s+\"([^\"]+)\"")
LOADED = re.compile(r"import\(\"([^\"]+)\"\)")
EXPORT = re.compile(r"^export\s+(?:async\s+)?(?:function|class|const|let)\s+(\w+)", re.M)
TOKEN = re.compile(r"--([\w-]+):\s*(?:light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)|(#[0-9a-f]{6}));")

# Pairs of text and ground, and the smallest contrast: 4.5 for text, 3 for lines and borders of controls (WCAG 2.2, AA).
GROUNDS = ("ground", "surface", "inset")
TEXT_PAIRS = [
    *((text, ground) for text in ("text", "muted", "accent", "good", "warn", "bad") for ground in GROUNDS),
    ("on-accent", "accent"),
    ("accent", "accent-soft"),
    ("warn", "warn-soft"),
    ("bad", "bad-soft"),
    ("on-picture", "picture"),
]
DRAWN_PAIRS = [
    ("line-strong", "surface"),
    ("line-strong", "ground"),
    *((f"series-{number}", "surface") for number in range(1, 9)),
]


def name(path: Path) -> str:
    return str(path.relative_to(STATIC))


@pytest.mark.parametrize("path", OWN, ids=name)
def test_a_file_of_the_page_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_FILE_LINES
    assert [number for number, line in enumerate(lines, 1) if len(line) > MAX_LINE] == []


@pytest.mark.parametrize("path", OWN, ids=name)
def test_the_words_of_the_page_are_those_of_the_field(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [
        (number, match.group()) for number, line in enumerate(lines, 1) for match in rules.PATTERN.finditer(line)
    ] == []


@pytest.mark.parametrize("path", OWN, ids=name)
def test_no_text_becomes_markup_or_code(path: Path) -> None:
    assert UNSAFE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", OWN, ids=name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert EXTERNAL.findall(text) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_each_import_is_exported(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for names, target in IMPORT.findall(text):
        exported = EXPORT.findall((path.parent / target).read_text(encoding="utf-8"))
        assert {each.split(" as ")[0].strip() for each in names.split(",") if each.strip()} <= set(exported), target
    for target in LOADED.findall(text):
        assert (path.parent / target).is_file()


def test_each_file_that_the_shell_names_is_there() -> None:
    named = re.findall(r"(?:href|src)=\"/(?:static/)?([\w./-]+)\"", (STATIC / "index.html").read_text(encoding="utf-8"))
    assert len(named) > 3
    assert [file for file in named if not (STATIC / file).is_file()] == []


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) < MAX_BYTES


def test_the_files_of_others_are_unchanged_and_have_their_licence() -> None:
    hashes = dict(re.findall(r"\| `([\w.]+)` \| ([0-9a-f]{64}) \|", (VENDOR / "README.md").read_text(encoding="utf-8")))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.min.*")}
    assert found == hashes
    assert "MIT" in (VENDOR / "LICENSE.uplot.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_their_ground(theme: int) -> None:
    css = (STATIC / "css/base.css").read_text(encoding="utf-8")
    tokens = {token: both[theme] if both[0] else one for token, *both, one in TOKEN.findall(css)}
    low = [
        f"{text} on {ground}: {contrast(tokens[text], tokens[ground]):.2f}"
        for pairs, least in ((TEXT_PAIRS, 4.5), (DRAWN_PAIRS, 3.0))
        for text, ground in pairs
        if contrast(tokens[text], tokens[ground]) < least
    ]
    assert low == []


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21, as WCAG 2.2 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
