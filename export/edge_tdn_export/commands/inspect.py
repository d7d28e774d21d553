"""edge-tdn-export inspect: the contents, cost and parity of a model folder."""

import argparse
import json
from pathlib import Path
from typing import Any

from edge_tdn.manifest import find_model, open_model
from edge_tdn_export.commands.output import console


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "inspect",
        help="print the contents, cost and parity of a model folder",
        description="Print the input, labels, precisions, cost and parity of a model folder.",
    )
    parser.set_defaults(command=run)
    parser.add_argument("model", help="a model folder, or the name of a shipped model")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> int:
    from edge_tdn_export.inspection import inspect, page

    found = inspect(open_model(find_model(options.model, Path.cwd())))
    if options.json:
        print(json.dumps(found, indent=1))  # noqa: T201
    else:
        console().print(page(found))
    return 0
