"""`edge-tdn check`: validate a configuration and its model, and print the plan."""

import argparse
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from edge_tdn.cli.options import Commands, add_command, add_config

if TYPE_CHECKING:
    from rich.console import Console

HELP = """\
Open everything that `run` would open on this machine, including the model, and print what it would
do. Errors name file, line, key and what is allowed. It connects neither to cameras nor to the
broker; `doctor` does.

  edge-tdn check --config site.toml
"""


def add_parser(commands: Commands) -> None:
    summary = "validate a configuration and its model, and print the plan"
    add_config(add_command(commands, "check", run, logging.WARNING, summary, HELP))


def run(options: argparse.Namespace) -> int:
    from edge_tdn.cli.console import plain_console

    check(plain_console(), options.config)
    return 0


def check(console: "Console", path: Path) -> None:
    """Print the plan of a configuration. Raises ConfigError or ModelError."""
    from edge_tdn.actions.labels import check_names
    from edge_tdn.cli.plan import print_plan
    from edge_tdn.config.load import load
    from edge_tdn.inference.open_model import open_configured_model, open_configured_runtime
    from edge_tdn.service.verify import outbox_writable, verify

    config = load(path)
    verify(config, path)
    writable = outbox_writable(config, path.parent)
    model = open_configured_model(config, path.parent)
    check_names(config, model.labels, model.manifest.background)
    with closing(open_configured_runtime(config, model)) as runtime:
        print_plan(console, config, path.parent, model, runtime, writable)
