"""Completion scripts for bash, zsh and fish, which shtab makes from a parser."""

import argparse
from pathlib import Path
from typing import Any

from edge_tdn.help.documents import pages, reference_file, tables
from edge_tdn.help.parser import Parser, arguments_of, command_parsers, command_summaries

SHELLS = ("bash", "zsh", "fish")
SHIPPED = Path(__file__).parent.parent / "models"  # a folder for each


def completion(parser: Parser, shell: str) -> str:
    """Return the script. The parser is changed: it is of no further use."""
    import shtab

    models, known = _models(), _known()
    for name, command in command_parsers(parser).items():
        command.description = command_summaries(parser)[name]
        for argument in arguments_of(command):
            if argument.choices is None and argument.dest in known:
                argument.choices = known[argument.dest]
            elif argument.dest in ("model", "models", "baseline"):
                _complete(argument, models)
            elif argument.metavar == "DIR" or argument.dest == "out":
                _complete(argument, shtab.DIRECTORY)
            elif argument.type is Path or argument.metavar in ("CLIP", "FILE"):
                _complete(argument, shtab.FILE)
    return str(shtab.complete(parser, shell=shell)) + "\n"


def _known() -> dict[str, list[str]]:
    """Return the values of arguments that a parser does not restrict, by the name of the argument."""
    return {
        "topic": list(pages()),
        "table": list(tables(reference_file().read_text(encoding="utf-8"))),
        "device": ["CPU", "GPU", "NPU", "CUDA"],
        "precision": ["fp32", "fp16", "bf16", "int8"],
    }


def _complete(argument: argparse.Action, how: Any) -> None:
    argument.complete = how  # type: ignore[attr-defined]  # shtab reads it


def _models() -> dict[str, Any]:
    """Return how to complete a model: the name of a shipped one, or a folder or file."""
    names = " ".join(sorted(path.parent.name for path in SHIPPED.glob("*/manifest.json")))
    return {
        "bash": "_edge_tdn_models_or_files",
        "zsh": f"{{_values model {names} ; _files}}",
        "fish": f"(printf '%s\\n' {names}; __fish_complete_path (commandline -ct))",
        "preamble": {
            "bash": f'_edge_tdn_models_or_files() {{\n  compgen -W "{names}" -- "$1"\n  compgen -f -- "$1"\n}}\n',
        },
    }
