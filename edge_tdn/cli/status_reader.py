"""Reading the retained messages of hosts and cameras into an Overview."""

import json
import time
from contextlib import ExitStack, suppress

from rich.console import Console
from rich.live import Live

from edge_tdn.cli.retained_reader import RetainedReader
from edge_tdn.cli.status_table import Overview
from edge_tdn.cli.timing import StatusTiming
from edge_tdn.delivery.mqtt import Connection, Received

SUFFIXES = ("availability", "status", "+/status", "+/action")  # topics below <base>


def status_reader(connection: Connection, overview: Overview, timing: StatusTiming) -> RetainedReader:
    """Return a reader that passes states and actions to the overview."""

    def take(received: Received) -> None:
        overview.take(received.topic, received.payload)

    topics = [f"{overview.base}/{suffix}" for suffix in SUFFIXES]
    return RetainedReader(connection, topics, overview.base, take, lambda: overview.complete, timing)


def follow(console: Console, reader: RetainedReader, overview: Overview, as_json: bool, draw_every_s: float) -> None:
    """Redraw the table in place, or print a line of JSON for every change, until Ctrl-C."""
    printed = ""
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        live = None if as_json else stack.enter_context(Live(overview, console=console, auto_refresh=False))
        while True:
            overview.trouble = reader.trouble
            if live:
                live.refresh()
            elif (now := json.dumps(overview.document())) != printed:
                printed = now
                print(printed, flush=True)  # noqa: T201  (for pipes)
            draw_s = time.monotonic() + draw_every_s
            while (left_s := draw_s - time.monotonic()) > 0:
                reader.next(left_s)
