"""`edge-tdn forget`: remove what a host or a camera that no longer exists has left at the broker."""

import argparse
import logging
import sys
import time
from typing import TYPE_CHECKING

from edge_tdn.cli.options import Commands, add_broker, add_command
from edge_tdn.cli.timing import DEFAULT_STATUS, StatusTiming
from edge_tdn.errors import EdgeTdnError
from edge_tdn.help.command_help import CommandHelp, Example

if TYPE_CHECKING:
    from rich.console import Console

HELP = CommandHelp(
    description="""\
Remove what a host, or one of its cameras, has left at the broker: statuses, the last action, the last picture, and the
documents with which Home Assistant found it. Its devices disappear there, too. Use it for a host that is out of
service, or for a broker that is no longer used: what its own configuration no longer has, a daemon removes itself when
it starts or reloads.

The messages are listed first, and removed after a confirmation or with --yes. What other programs retain below the
topic prefix stays. A host that is online is refused: stop it first, or it publishes everything again. Events in its
outbox are not touched.
""",
    examples=(
        Example("the host `attic` and all of its cameras", "edge-tdn forget attic"),
        Example(
            "one camera, with the broker, user and password of a configuration",
            "edge-tdn forget attic/door --config site.toml",
        ),
        Example(
            "a host with a broker.base of its own, at another broker",
            "edge-tdn forget attic --broker mqtt://old.lan --base home/cams",
        ),
    ),
    exit_status={
        0: "removed: nothing of it is retained any more",
        1: "nothing was found, or it is online, or not confirmed, or something could not be removed",
        69: "",
        78: "",
    },
)


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands, "forget", run, logging.ERROR, "remove what a host that is gone left at the broker", HELP
    )
    parser.add_argument("name", metavar="HOST[/CAMERA]", help="`host` and camera name of its configuration")
    add_broker(
        parser, base="", base_help="topic prefix of the host (default: edge-tdn/HOST, or that of its configuration)"
    )
    parser.add_argument(
        "--prefix",
        default="",
        help="discovery prefix of Home Assistant (default: homeassistant, or that of the configuration)",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
    parser.add_argument("--force", action="store_true", help="also if the host is online")


def run(options: argparse.Namespace, timing: StatusTiming = DEFAULT_STATUS, console: "Console | None" = None) -> int:
    """Return 0 if nothing is retained any more. EdgeTdnError: why nothing was removed."""
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.leftovers import Leftovers, chosen_leftovers
    from edge_tdn.cli.retained_reader import RetainedReader
    from edge_tdn.delivery.mqtt import Connection

    broker, leftovers = chosen_leftovers(options)
    console = console or plain_console()
    connection = Connection(broker.config, f"edge-tdn-forget-{time.time_ns()}", broker.access)

    def read(into: Leftovers) -> RetainedReader:
        reader = RetainedReader(connection, into.filters, into.base, into.take, lambda: False, timing)
        reader.collect()
        return reader

    try:
        reader = read(leftovers)
        for topic, reason in reader.refused.items():
            text = f"not examined, because this user may not read {topic}: {reason}"
            console.print(text, style="yellow", soft_wrap=True)
        leftovers.check(force=options.force)
        console.print(leftovers, soft_wrap=True)
        topics = list(leftovers.messages)
        if not (options.yes or _confirmed(console, len(topics), connection.address)):
            raise EdgeTdnError("nothing was removed; confirm with y, or use --yes")
        rejected = leftovers.remove(reader, timing.connect_s, console)
    finally:
        connection.close()
    connection = Connection(broker.config, f"edge-tdn-forget-{time.time_ns()}", broker.access)
    try:
        left = leftovers.again()
        read(left)
    finally:
        connection.close()
    return left.report(console, topics, rejected)


def _confirmed(console: "Console", count: int, address: str) -> bool:
    if not sys.stdin.isatty():
        return False
    try:
        return console.input(f"Remove these {count} messages from {address}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
