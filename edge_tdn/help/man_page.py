"""A manual page, in the man(7) macros of groff and mandoc, made from the parser of a program."""

import argparse
import re
from collections.abc import Iterable, Iterator

from edge_tdn import __version__
from edge_tdn.help.command_help import CommandHelp, is_verbatim
from edge_tdn.help.parser import Parser, arguments_of, command_parsers, command_summaries

SECTION = 1  # of the manual: commands
SEE_ALSO = ("edge-tdn", "edge-tdn-export", "edge-tdn-train")


def man_page(parser: Parser) -> str:
    """Return the page of a program with all of its commands."""
    page = "\n".join(_lines(parser)) + "\n"
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", page, flags=re.M)  # a heading begins a paragraph by itself


def _lines(parser: Parser) -> Iterator[str]:
    whole = parser.command_help
    assert whole
    name = parser.prog
    summary = whole.description.split(". ")[0].replace("\n", " ").rstrip(".")
    others = [rf".BR {_text(other)} ({SECTION})" for other in SEE_ALSO if other != name]
    yield f'.TH "{name.upper()}" "{SECTION}" "" "edge-tdn {__version__}" "User Commands"'
    yield from (".SH NAME", _text(f"{name} - {summary[0].lower()}{summary[1:]}"))
    yield from (".SH SYNOPSIS", f".B {_text(name)}", r"\fICOMMAND\fR [\fIOPTION\fR ...]")
    yield from (".SH DESCRIPTION", *_paragraphs(whole.description))
    yield from _options(arguments_of(parser))
    yield ".SH COMMANDS"
    summaries = command_summaries(parser)
    for command, own in command_parsers(parser).items():
        yield f'.SS "{_text(f"{name} {command}")} - {_text(summaries[command])}"'
        yield from (".PP", _text(" ".join(own.format_usage().removeprefix("usage:").split())))
        assert own.command_help
        yield from _paragraphs(own.command_help.description)
        yield from _options(arguments_of(own))
        yield from _examples(own.command_help)
        yield from _paragraphs(own.command_help.notes)
        yield from _statuses(own.command_help)
    yield from (".SH EXAMPLES", *_examples(whole))
    yield from (".SH EXIT STATUS", *_rows(_status_rows(whole)))
    if whole.files:
        yield from (".SH FILES", *_rows(whole.files.items()))
    yield from (".SH SEE ALSO", " ,\n".join(others))


def _text(text: str) -> str:
    """Return text without anything that roff would interpret."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq").replace("~", r"\(ti")
    escaped = escaped.replace("^", r"\(ha").replace("`", r"\(ga")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.M)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip("\n").split("\n\n"):
        if not paragraph.strip():
            continue
        if is_verbatim(paragraph):
            yield from (".PP", ".nf", _text(paragraph.rstrip()), ".fi")
        else:
            yield from (".PP", _text(" ".join(paragraph.split())))


def _options(arguments: Iterable[argparse.Action]) -> Iterator[str]:
    for argument in arguments:
        yield from (".TP", _invocation(argument), _text(" ".join(_help(argument).split())))


def _invocation(argument: argparse.Action) -> str:
    value = argument.metavar or (
        "{" + ",".join(map(str, argument.choices)) + "}" if argument.choices else argument.dest.upper()
    )
    shown = _text(" ".join(value) if isinstance(value, tuple) else value)
    shown += " ..." if argument.nargs in ("+", "*") else ""
    if not argument.option_strings:
        return rf"\fI{shown}\fR"
    names = ", ".join(rf"\fB{_text(option)}\fR" for option in argument.option_strings)
    return names if argument.nargs == 0 else rf"{names} \fI{shown}\fR"


def _help(argument: argparse.Action) -> str:
    return (argument.help or "") % {**vars(argument), "prog": ""}


def _examples(shown: CommandHelp) -> Iterator[str]:
    for example in shown.examples:
        yield from (".PP", f"{_text(example.purpose)}:", ".RS 4", ".nf", _text(example.line), ".fi", ".RE")


def _statuses(shown: CommandHelp) -> Iterator[str]:
    yield from (".PP", "Exit status:")
    yield from _rows(_status_rows(shown))


def _status_rows(shown: CommandHelp) -> list[tuple[str, str]]:
    return [(str(number), text) for number, text in shown.statuses.items()]


def _rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield ".PD 0"
    for name, text in rows:
        yield from (".TP 6", _text(name), _text(text))
    yield ".PD"
