"""The README and the pages of docs/: their code blocks, commands and links."""

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.conftest import ROOT

FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
COMMENT = re.compile(r"(?:^|\s+)#(?:\s.*)?$")
PROGRAM = re.compile(r"(?:\.venv/bin/)?(edge-tdn(?:-export|-train)?)")


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, without comments: a command is one line."""
        lines = [COMMENT.sub("", line).strip() for line in self.text.splitlines()]
        return [line for line in lines if line] if self.language == "sh" else []


@dataclass(frozen=True)
class Page:
    """A Markdown page of the repository."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        return [Block(language, text) for language, text in FENCED.findall(self.text)]

    @property
    def commands(self) -> list[str]:
        return [command for block in self.blocks for command in block.commands]

    @property
    def _prose(self) -> str:
        """The text without its code blocks."""
        prose = FENCED.sub("", self.text)
        assert "```" not in prose, f"{self.name}: a code block has no end"
        return prose

    @cached_property
    def inline(self) -> list[str]:
        """The code spans of the text, each on one line."""
        return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", self._prose)]

    @cached_property
    def links(self) -> list[str]:
        """The targets of links and pictures, without those to other sites."""
        prose = re.sub(r"(?<!`)`[^`]+`(?!`)", "", self._prose)
        return [target for target in LINK.findall(prose) if not re.match(r"\w+:", target)]

    def texts(self, language: str) -> list[str]:
        """Return the code blocks in a language."""
        return [block.text for block in self.blocks if block.language == language]

    def target(self, link: str) -> tuple[Path, str]:
        """Return the file to which a link leads, and the anchor, which may be empty."""
        file, _, anchor = link.partition("#")
        return ((self.path.parent / file).resolve() if file else self.path.resolve()), anchor


def invocation(command: str) -> list[str]:
    """Return the program and arguments of a call of edge-tdn, the exporter or the trainer; else an empty list."""
    first, *words = shlex.split(command.removeprefix("sudo "))
    program = PROGRAM.fullmatch(first)
    return [program[1], *words] if program else []


PAGES = [Page(path) for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))]
README = PAGES[0]
