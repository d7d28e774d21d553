"""edge-tdn-export inspect: the contents, cost and parity of a model folder."""

import argparse
import json
from pathlib import Path

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.manifest import find_model, open_model
from edge_tdn_export.commands.output import console

HELP = CommandHelp(
    description="""\
Print the input, labels, precisions, cost and parity of a model folder. Use it to see what a model recognises, how long
its clips are, and which of its precisions have been found equal to PyTorch, before you put it on a host.
""",
    examples=(
        Example("the model that comes with the package", "edge-tdn-export inspect motion"),
        Example("a folder of yours", "edge-tdn-export inspect models/ssv2"),
        Example("for a program", "edge-tdn-export inspect models/ssv2 --json"),
    ),
    exit_status={0: "printed", 78: "it is not a model folder, or a file in it is missing or damaged"},
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "inspect", run, "print the contents, cost and parity of a model folder", HELP)
    parser.add_argument("model", help="a model folder, or the name of a shipped model")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> int:
    model = open_model(find_model(options.model, Path.cwd()))  # before the import of torch, which takes seconds
    from edge_tdn_export.inspection import inspect, page

    found = inspect(model)
    if options.json:
        print(json.dumps(found, indent=1))  # noqa: T201
    else:
        console().print(page(found))
    return 0
