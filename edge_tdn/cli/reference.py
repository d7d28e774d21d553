"""`edge-tdn reference`: print the reference configuration, or one table of it."""

import argparse
import logging
import sys

from edge_tdn.cli.options import SITE, Commands, add_command
from edge_tdn.errors import ConfigError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.documents import reference_file, tables
from edge_tdn.spelling import nearest_of_many

HELP = CommandHelp(
    description="""\
Print every key of the configuration with its meaning, its unit and its default, as a TOML file. Use it to look a key
up. A configuration of your own is better short: keys that are left out have the default shown here.
""",
    examples=(
        Example("print every key", "edge-tdn reference"),
        Example("print the keys that decide when an action starts and ends", "edge-tdn reference decide"),
        Example("print the keys of a camera", "edge-tdn reference camera"),
    ),
    exit_status={0: "printed", 78: "there is no such table"},
    files={str(SITE): "the installed configuration, if there is one"},
)


def add_parser(commands: Commands) -> None:
    summary = "print every key of the configuration, explained"
    parser = add_command(commands, "reference", run, logging.ERROR, summary, HELP)
    parser.add_argument("table", nargs="?", metavar="TABLE", help="one table, such as decide or decide.action")


def run(options: argparse.Namespace) -> int:
    """Print. Raises ConfigError if there is no such table."""
    text = reference_file().read_text(encoding="utf-8")
    if options.table is not None:
        known = tables(text)
        name = options.table.strip("[]")
        if name not in known:
            raise ConfigError(f"no table {name!r}; {nearest_of_many(name, list(known), 'there are')}")
        text = known[name]
    sys.stdout.write(text)
    return 0
