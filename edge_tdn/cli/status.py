"""`edge-tdn status`: show the state of hosts and their cameras, from their retained messages at the broker."""

import argparse
import json
import logging
import sys
import time
from typing import TYPE_CHECKING

from edge_tdn.cli.options import Commands, add_broker, add_command
from edge_tdn.cli.timing import DEFAULT_STATUS, StatusTiming
from edge_tdn.errors import ConfigError
from edge_tdn.help.command_help import CommandHelp, Example

if TYPE_CHECKING:
    from rich.console import Console

HELP = CommandHelp(
    description="""\
Show the state of the hosts that publish at a broker, of their cameras and of the cameras' zones. Use it to see what
runs where, or in a script that watches over hosts. The state comes from messages that the broker keeps; the hosts are
not contacted.

A host that was stopped on purpose (a clean stop) is shown as stopped; one that failed, was killed or lost its network
as offline. One whose status is more than a minute old although it counts as online has failed, too: the broker has not
noticed. If a host does not come back, `edge-tdn forget HOST` removes it from the broker; one that still counts as
online with --force.

Hosts that run an older version of edge-tdn or of a model than others are named. Of models whose names differ only in
the number at the end (door-v3, door-v12) the highest number is the newest, unless a host serves two of them, in two
zones; of models with the same name and different contents, those that most hosts have are taken as current.
""",
    examples=(
        Example("the host of the installed configuration; or all hosts at a broker on this machine", "edge-tdn status"),
        Example(
            "the host of a configuration, with its broker, user and password", "edge-tdn status --config site.toml"
        ),
        Example(
            "one host, and every change until Ctrl-C",
            "edge-tdn status --broker mqtt://broker.lan --base edge-tdn/barn --watch",
        ),
        Example(
            "all hosts at the broker of a configuration, one line each",
            "edge-tdn status --config site.toml --base edge-tdn/+ --brief",
        ),
        Example("is the roll-out of a version complete?", "edge-tdn status --expect-version 0.2.0"),
    ),
    exit_status={
        0: "every host is online and delivers, and every camera streams or was disabled by a command",
        1: "something has failed, or there is no host",
        3: "nothing has failed, but at least one host was stopped on purpose",
        4: "nothing has failed, but a host runs another version or model than --expect-version, --expect-model",
        69: "",
        78: "",
    },
)


def add_parser(commands: Commands) -> None:
    summary = "show the state of hosts and their cameras"
    parser = add_command(commands, "status", run, logging.ERROR, summary, HELP)
    add_broker(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document; with --watch one per line")
    parser.add_argument("--brief", action="store_true", help="print one line for each host")
    parser.add_argument(
        "--expect-version", default="", metavar="VERSION", help="name hosts with any other (default: the newest shown)"
    )
    parser.add_argument(
        "--expect-model", default="", metavar="ID[@SHA256]", help="the same for models; SHA256: its first characters"
    )
    parser.add_argument("--watch", action="store_true", help="follow changes until Ctrl-C")


def run(options: argparse.Namespace, timing: StatusTiming = DEFAULT_STATUS, console: "Console | None" = None) -> int:
    """Return the exit status, see HELP. Raises BrokerError if the broker does not answer or rejects it.

    With `--watch`, redraw the table in place until Ctrl-C, or with `--json` print a line for every change.
    """
    from edge_tdn.cli.chosen_broker import chosen_broker
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.status_reader import follow, status_reader
    from edge_tdn.cli.status_table import TABLE_WIDTH, Overview
    from edge_tdn.cli.status_versions import Expected
    from edge_tdn.delivery.mqtt import Connection

    broker = chosen_broker(options)
    console = console or plain_console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    if options.watch and not options.json and not console.is_terminal:
        raise ConfigError("--watch needs a terminal; for a pipe use `--watch --json` or `edge-tdn watch`")
    overview = Overview(broker.base, Expected(options.expect_version, options.expect_model), options.brief)
    connection = Connection(broker.config, f"edge-tdn-status-{time.time_ns()}", broker.access)
    try:
        reader = status_reader(connection, overview, timing)
        reader.collect()
        if options.watch:
            follow(console, reader, overview, options.json, timing.draw_every_s)
        elif options.json:
            print(json.dumps(overview.document(), indent=1))  # noqa: T201  (for pipes)
        else:
            console.print(overview)
    finally:
        connection.close()
    return overview.exit_status
