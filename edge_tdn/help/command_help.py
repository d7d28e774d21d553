"""The help of a command: a description in plain words, examples, exit statuses. Rendered for the terminal."""

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

WIDTH = 78  # characters, as argparse lays out its part on a terminal of 80 columns
STATUS = {  # exit status: its meaning where a command states no other; see errors.py
    0: "done",
    1: "any other error",
    2: "an option or argument is missing, unknown or misspelt",
    66: "a camera or video cannot be played",
    69: "the broker does not answer, or rejects this client",
    71: "not enough memory on the device or host",
    78: "a configuration, model, file or option is invalid",
    130: "interrupted",
}
USAGE, INTERRUPTED = 2, 130  # of every command


@dataclass(frozen=True)
class Example:
    """A command line that works as it is printed, after the names in it are replaced, and its purpose."""

    purpose: str
    line: str

    @property
    def words(self) -> list[str]:
        """The words of the command line, as a shell splits them."""
        return shlex.split(self.line)


@dataclass(frozen=True)
class CommandHelp:
    """The help of a command, or of a whole program.

    `description` and `notes` are paragraphs, separated by empty lines; a paragraph with an indented line is printed as
    it is. `exit_status`: a status to its meaning, "" for the usual one; 2 and 130 need no mention.
    """

    description: str
    examples: Sequence[Example]
    exit_status: Mapping[int, str]
    notes: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def statuses(self) -> dict[int, str]:
        """Every exit status and its meaning, in order."""
        all_of_them = {**self.exit_status, USAGE: "", INTERRUPTED: ""}
        return {number: all_of_them[number] or STATUS[number] for number in sorted(all_of_them)}

    def above_options(self) -> str:
        """Return the text that stands above the options."""
        return "\n\n".join(paragraphs(self.description))

    def below_options(self) -> str:
        """Return the text that stands below the options."""
        parts = ["\n".join(("examples:", *self._example_lines()))]
        parts += paragraphs(self.notes)
        parts.append("\n".join(("exit status:", *(_row(str(n), text, 6) for n, text in self.statuses.items()))))
        if self.files:
            width = max(map(len, self.files)) + 2
            parts.append("\n".join(("files:", *(_row(name, text, width) for name, text in self.files.items()))))
        return "\n\n".join(parts) + "\n"

    def _example_lines(self) -> Iterator[str]:
        for example in self.examples:
            yield from textwrap.wrap(f"{example.purpose}:", WIDTH, initial_indent="  ", subsequent_indent="  ")
            yield from wrapped(example.line)


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, wrapped; those with an indented line as they are."""
    blocks = [block.rstrip() for block in text.strip("\n").split("\n\n") if block.strip()]
    return [block if is_verbatim(block) else textwrap.fill(" ".join(block.split()), WIDTH) for block in blocks]


def is_verbatim(paragraph: str) -> bool:
    """Return True if a paragraph is a list or table, whose line breaks matter."""
    return any(line.startswith(" ") for line in paragraph.splitlines())


def wrapped(line: str) -> list[str]:
    """Return a command line, broken where it is too long so that a shell still reads one command."""
    parts = re.split(r" (?=-|\||&&|>)", line)  # an option stays beside its value
    lines, current = [], f"    {parts[0]}"
    for part in parts[1:]:
        if len(current) + len(part) + 3 > WIDTH:
            lines.append(f"{current} \\")
            current = " " * 7
        current += f" {part}"
    return [*lines, current]


def _row(name: str, text: str, width: int) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {name:<{width}}", subsequent_indent=" " * (width + 2))
