"""The README and the pages of docs/: their code blocks, commands, links and anchors."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.conftest import ROOT

SHELL = ("sh", "bash", "console", "shell")
FENCE = re.compile(r"^(?P<fence>```+|~~~+) *(?P<language>\w*)")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
COMMENT = re.compile(r"(?:^|\s+)#(?:\s.*)?$")
HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
PROGRAM = re.compile(r"(?:\.venv/bin/)?(edge-tdn(?:-export|-train)?)")
REDIRECTIONS = {"<", ">", ">>", ">&", "&>", "<<", "<<<"}
PREFIXES = {"sudo", "exec", "env", "nohup", "time"}


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    page: "Page"
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, without comments; continued lines and here-documents are one command."""
        return list(self._commands()) if self.language in SHELL else []

    def _commands(self) -> Iterator[str]:
        lines = iter(self.text.splitlines())
        for line in lines:
            if here := HEREDOC.search(line):
                body = [line]
                for other in lines:
                    body.append(other)
                    if other.strip() == here[2]:
                        break
                yield "\n".join(body)
                continue
            command = COMMENT.sub("", line).strip()
            while command.endswith("\\"):
                command = f"{command[:-1].strip()} {COMMENT.sub('', next(lines)).strip()}"
            while command and not _closed(command):  # a quoted text of several lines
                command = f"{command}\n{next(lines)}"
            if command:
                yield command.removeprefix("$ ")


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
    def _parts(self) -> tuple[str, list[Block]]:
        """The text without its code blocks, and these."""
        prose, blocks = list[str](), list[Block]()
        language, fence, body = "", "", list[str]()
        for line in self.text.splitlines():
            found = FENCE.match(line.lstrip())
            if not fence and found:
                fence, language, body = found["fence"], found["language"], []
            elif fence and line.strip() == fence:
                blocks.append(Block(self, language, "\n".join(body)))
                fence = ""
            elif fence:
                body.append(line)
            else:
                prose.append(line)
        assert not fence, f"{self.name}: a code block has no end"
        return "\n".join(prose), blocks

    @property
    def blocks(self) -> list[Block]:
        return self._parts[1]

    @property
    def commands(self) -> list[str]:
        return [command for block in self.blocks for command in block.commands]

    @cached_property
    def inline(self) -> list[str]:
        """The code spans of the text, each on one line."""
        return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", self._parts[0])]

    @cached_property
    def links(self) -> list[str]:
        """The targets of links and pictures, without those to other sites."""
        prose = re.sub(r"(?<!`)`[^`]+`(?!`)", "", self._parts[0])
        return [target for target in LINK.findall(prose) if not re.match(r"\w+:", target)]

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them; of equal headings the second one ends in -1."""
        seen: dict[str, int] = {}
        for title in re.findall(r"^#{1,6} +(.+?)(?: +#+)? *$", self._parts[0], re.M):
            anchor = anchor_of(title)
            seen[anchor] = seen.get(anchor, -1) + 1
        return {
            f"{anchor}-{number}" if number else anchor for anchor, last in seen.items() for number in range(last + 1)
        }

    def target(self, link: str) -> tuple[Path, str]:
        """Return the file to which a link leads, and the anchor, which may be empty."""
        file, _, anchor = link.partition("#")
        return ((self.path.parent / file).resolve() if file else self.path.resolve()), anchor


def _closed(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def anchor_of(title: str) -> str:
    """Return the anchor of a heading: its letters, digits, hyphens and underscores, with hyphens for blanks."""
    shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")


def invocations(command: str) -> list[list[str]]:
    """Return the program and arguments of every call of edge-tdn, the exporter or the trainer in a command."""
    line = command.splitlines()[0] if HEREDOC.search(command) else command
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    calls, call, at_start = list[list[str]](), list[str](), True
    for word in lexer:
        if re.fullmatch(r"[|&;<>()]+", word):
            call, at_start = [], word not in REDIRECTIONS
        elif call:
            call.append(word)
        elif at_start and (program := PROGRAM.fullmatch(word)):
            call = [program[1]]
            calls.append(call)
        else:
            at_start = at_start and (word in PREFIXES or "=" in word)
    return calls


PAGES = [Page(path) for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))]
README = PAGES[0]
