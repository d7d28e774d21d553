"""`edge-tdn check`: validate a configuration and its model, and print the plan."""

import argparse
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from edge_tdn.cli.options import Commands, add_command, add_config
from edge_tdn.help.command_help import CommandHelp, Example

if TYPE_CHECKING:
    from rich.console import Console

HELP = CommandHelp(
    description="""\
Validate a configuration and its model, and print what `run` would do with them: cameras, labels, thresholds, topics
and files. Use it after every edit, before a reload or a restart. An error names the file, the line, the key and what
is allowed.

It opens everything that `run` opens on this machine, and connects neither to cameras nor to the broker; `doctor` does.
""",
    examples=(
        Example("validate the installed configuration", "edge-tdn check"),
        Example("validate one in this folder", "edge-tdn check --config site.toml"),
        Example("validate it, and reload the daemon only then", "edge-tdn check && systemctl reload edge-tdn"),
    ),
    exit_status={0: "configuration and model are right", 71: "", 78: ""},
)


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
