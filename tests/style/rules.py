"""The rules of the house that no linter knows: plain words, small objects, short files.

Each rule is a function from parsed source files to findings, one line each: `path:line: what is wrong`.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = {
    "edge_tdn": ROOT / "edge_tdn",
    "edge_tdn_export": ROOT / "export/edge_tdn_export",
    "edge_tdn_training": ROOT / "training/edge_tdn_training",
}
MAX_FILE_LINES = 400
MAX_ATTRIBUTES = 14  # that one class assigns to `self`
MAX_FRAGMENT_SHARE = 0.02  # of all docstrings
MAX_UNFORMATTED = 5  # blocks that the formatter leaves alone, in the whole project

# Words of the private dialect in which this project was first written, and what to write instead.
DIALECT = {
    r"told|tells?": "report, log, publish, state",
    r"said": "state, report; of input: given, configured",
    r"heard|hears": "receive, notice",
    r"nobody|somebody|anybody": "name who, or use the passive",
    r"whoever": "name who",
    r"anew": "again",
    r"wanted": "requested, required, configured",
    r"go(es|ing)? on": "continue, resume; active, ongoing",
    r"went on": "continue, resume",
    r"(?<!there )(is|are) no (?!longer|more|match)\w+": "is not a",
    r"stands there": "is there",
    r"hammers?|hammered": "retry too often",
    r"knocks?|knocked": "connect",
    r"(a|the|each|every|new|unbroken) stretch(es)?": "run (of a stream)",
    r"\w+_MOST|MOST_\w+": "MAX_...",
    r"LEAST_\w+|\w+_LEAST": "MIN_...",
}
PATTERN = re.compile(r"\b(?:" + "|".join(f"(?:{word})" for word in DIALECT) + r")\b", re.I)
FRAGMENTS = ("Of", "What", "Whether", "How", "On", "It", "It's")


@dataclass(frozen=True)
class Source:
    """One Python file, parsed."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> "Source":
        return cls(path, path.read_text(encoding="utf-8"))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT)) if self.path.is_relative_to(ROOT) else str(self.path)

    def classes(self) -> Iterator[ast.ClassDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))

    def docstrings(self) -> Iterator[tuple[int, str]]:
        """Line and text of each docstring."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield node.body[0].lineno, text

    def words(self) -> Iterator[tuple[int, str]]:
        """Line and text of every comment, string and name that a reader sees."""
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING, tokenize.NAME):
                for offset, line in enumerate(token.string.splitlines()):
                    yield token.start[0] + offset, line


def sources(paths: Iterable[Path]) -> list[Source]:
    """Every Python file at or below `paths`."""
    files = sorted({file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))})
    assert files, "there is no Python file to check"
    return [Source.read(file) for file in files]


def dialect(checked: Sequence[Source], allowed: Sequence[str] = ()) -> list[str]:
    """Words of the private dialect. `allowed`: parts of lines in which such a word is right."""
    found = []
    for source in checked:
        lines = source.text.splitlines()
        for number, text in source.words():
            if any(part in lines[number - 1] for part in allowed):
                continue
            found += [f"{source.name}:{number}: {match.group()!r}" for match in PATTERN.finditer(_spaced(text))]
    return found


def _spaced(text: str) -> str:
    """Names as words, `test_it_is_told` as `test it is told`; constants stay whole."""
    return re.sub(r"(?<=[a-z])_(?=[a-z])", " ", text)


def fragments(checked: Sequence[Source]) -> tuple[list[str], int]:
    """Docstrings that begin with a fragment, and the number of all docstrings."""
    everything = [(source.name, line, text) for source in checked for line, text in source.docstrings()]
    found = [
        f"{name}:{line}: {text.splitlines()[0]}" for name, line, text in everything if text.split()[0] in FRAGMENTS
    ]
    return found, len(everything)


def long_files(checked: Sequence[Source]) -> list[str]:
    counts = [(source.name, len(source.text.splitlines())) for source in checked]
    return [f"{name}: {lines} lines" for name, lines in counts if lines > MAX_FILE_LINES]


def attributes(checked: Sequence[Source]) -> dict[str, int]:
    """Number of attributes that each class assigns to `self`, most first."""
    counts = {}
    for source in checked:
        for node in source.classes():
            assigned = {
                part.attr
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute)
                and isinstance(part.ctx, ast.Store)
                and isinstance(part.value, ast.Name)
                and part.value.id == "self"
            }
            counts[f"{source.name}:{node.lineno}: {node.name}"] = len(assigned)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def large_classes(checked: Sequence[Source]) -> list[str]:
    return [f"{name} assigns {count}" for name, count in attributes(checked).items() if count > MAX_ATTRIBUTES]


def repeated_class_names(checked: Sequence[Source]) -> list[str]:
    places = defaultdict(list)
    for source in checked:
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{source.name}:{node.lineno}")
    return [f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1]


def unformatted(checked: Sequence[Source]) -> list[str]:
    mark = "# fmt" + ":"
    return [
        f"{source.name}:{number}"
        for source in checked
        for number, line in enumerate(source.text.splitlines(), 1)
        if mark in line
    ]


def hidden_imports(checked: Sequence[Source]) -> list[str]:
    """Imports of the project's own modules that only the type checker sees: a way to hide a circle."""
    found = []
    for source in checked:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                found += [
                    f"{source.name}:{part.lineno}: {part.module}"
                    for part in ast.walk(node)
                    if isinstance(part, ast.ImportFrom) and (part.module or "").split(".")[0] in PACKAGES
                ]
    return found
