"""`edge-tdn watch`: print the events that hosts publish, as they arrive, and which are missing."""

import argparse
import json
import logging
import sys
import time

from edge_tdn.cli.options import Commands, add_broker, add_command
from edge_tdn.cli.timing import DEFAULT_WATCH, WatchTiming
from edge_tdn.errors import BrokerError
from edge_tdn.help.command_help import CommandHelp, Example

HELP = CommandHelp(
    description="""\
Print the events that hosts publish at a broker, as they arrive, until Ctrl-C. Use it to see whether actions reach the
broker, and what a program of yours would receive. Events that were missed are requested from their host again, and
printed when it replays them.
""",
    examples=(
        Example("the host of the installed configuration; or all hosts at a broker on this machine", "edge-tdn watch"),
        Example("the host of a configuration, with its broker, user and password", "edge-tdn watch --config site.toml"),
        Example(
            "one host, as JSON lines for a program",
            "edge-tdn watch --broker mqtt://broker.lan --base edge-tdn/barn --json",
        ),
    ),
    exit_status={0: "ended with Ctrl-C", 69: "", 78: ""},
)
POLL_S = 0.5


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "watch", run, logging.WARNING, "print the events that hosts publish", HELP)
    add_broker(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document per line: topic, and message as received"
    )
    parser.add_argument(
        "--no-replay", dest="replay", action="store_false", help="only report missed events, do not request them again"
    )


def run(options: argparse.Namespace, timing: WatchTiming = DEFAULT_WATCH) -> int:
    """Print until Ctrl-C, then a summary to stderr. Raises BrokerError if the broker does not answer in time.

    With `--json` a line is {"topic": ..., "message": as received}; of a picture, {"topic": ..., "snapshot": its id and
    size}; or {"gap": ...} or {"recount": ...}.
    """
    from edge_tdn.cli.chosen_broker import chosen_broker
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.terminal import BROKER_HINT
    from edge_tdn.cli.watch_output import Screen, document, summary
    from edge_tdn.delivery.mqtt import Connection
    from edge_tdn.subscriber import Subscriber

    broker = chosen_broker(options)
    connection = Connection(broker.config, f"edge-tdn-watch-{time.time_ns()}", broker.access)
    subscriber = Subscriber(broker.base, connection, replay=options.replay)
    deadline = time.monotonic() + timing.connect_s
    screen = None
    if not options.json:
        screen = Screen(plain_console(), f"broker {connection.address}", broker.base, timing.silence_s)
    try:
        while True:
            for message in subscriber.messages(POLL_S):
                if screen:
                    screen.show_link(subscriber.connected, subscriber.connection_error)
                    screen.show(message)
                else:
                    print(json.dumps(document(message), ensure_ascii=False), flush=True)  # noqa: T201  (for pipes)
            if screen:
                screen.show_link(subscriber.connected, subscriber.connection_error)
            if subscriber.connected:
                deadline = float("inf")
            elif time.monotonic() > deadline:
                reason = subscriber.connection_error or "no answer"
                raise BrokerError(f"{connection.address}: {reason}; {BROKER_HINT}")
    except KeyboardInterrupt:
        sys.stderr.write(f"{summary(subscriber.counts)}\n")
    finally:
        subscriber.close()
    return 0
