"""`edge-tdn check`: validate a configuration and its model, and print the plan."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edge_tdn.cli.options import Commands, add_command, add_config
from edge_tdn.help.command_help import CommandHelp, Example

if TYPE_CHECKING:
    from rich.console import Console

HELP = CommandHelp(
    description="""\
Validate a configuration and its models, and print what `run` would do with them: cameras, zones, labels, thresholds,
topics and files. Use it after every edit, before a reload or a restart. An error names the file, the line, the key and
what is allowed.

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
    """Print the plan of a configuration. Raises ConfigError, ModelError or DeviceError."""
    from edge_tdn.chosen_models import ChosenModels
    from edge_tdn.cli.plan import print_plan
    from edge_tdn.cli.zone_sizes import check_files
    from edge_tdn.config.load import load
    from edge_tdn.networks import NetworkOpener
    from edge_tdn.service.verify import outbox_writable, verify

    config, base = load(path), path.parent
    verify(config, path)
    writable = outbox_writable(config, base)
    chosen = ChosenModels.of(config, base)
    check_files(config, base)
    with NetworkOpener(base, cached=False).opened(config, chosen) as networks:
        print_plan(console, config, base, networks, writable)
