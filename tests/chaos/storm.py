"""Connections that are reset as soon as they are established: how often a site's hosts reconnect, and what they log.

A host waits longer after every reset, up to half a minute; a hundred in a row would take it most of an hour. So there
are a dozen hosts, each on a wire of its own, that lose their broker at the same moment.
"""

import logging
import queue
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import ConnectionTiming
from tests.chaos.broker import FORGETFUL, Broker
from tests.chaos.emitter import CAMERAS, make_event
from tests.chaos.row import ChaosRow
from tests.chaos.subscriber import EventRecorder
from tests.support.waiting import eventually
from tests.support.wire import Wire

HOSTS = 12
FUSE_S = 0.2  # a connection is reset within this
EVENT_INTERVAL_S = 0.5  # of each host
MIN_CONNECT_INTERVAL_S = 1.0  # of each host
MIN_LINE_INTERVAL_S = 1.0  # of each host's log
CLOCK_S = 0.02  # the two ends' clocks may differ: one is read at the begin, one after the connection is accepted


class _LineTimes(logging.Handler):
    """Records when the publisher of each host logged a line."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s: defaultdict[int | None, list[float]] = defaultdict(list)  # by thread

    def emit(self, record: logging.LogRecord) -> None:
        self.at_s[record.thread].append(time.monotonic())


class _Host:
    """A publisher behind a wire of its own."""

    def __init__(self, folder: Path, broker: Broker, number: int) -> None:
        self.base = f"edge-tdn/host{number}"
        self.wire = Wire(broker.port)
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{self.wire.port}")

        def connect(will: Any, inbox: "queue.SimpleQueue[Any]") -> Connection:
            return Connection(config, f"host{number}", None, will, inbox)

        self.publisher = Publisher(
            self.base, "boot", Outbox(folder / f"host{number}", OutboxConfig()), connect, lambda error: None
        )
        self.publisher.start()
        self.emitted = 0

    def emit(self) -> None:
        self.emitted += 1
        self.publisher.event(make_event(CAMERAS[0], self.emitted, f"boot-{self.base}"))


def storm(folder: Path, resets: int, step: Callable[[str], None]) -> list[ChaosRow]:
    """Reset connections at least `resets` times; `step` shows the progress."""
    folder.mkdir(parents=True)
    broker = Broker(folder, FORGETFUL)
    recorder = EventRecorder(broker.port, "edge-tdn/+")
    lines = _LineTimes()
    logger = logging.getLogger("edge_tdn")
    before, logger.propagate = logger.propagate, False
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    hosts = [_Host(folder, broker, number) for number in range(HOSTS)]
    eventually(lambda: all(host.publisher.connected for host in hosts), 10)
    for host in hosts:
        host.wire.fuse_s = FUSE_S
        host.wire.reset()  # all at once
    while (count := sum(len(host.wire.accepted) for host in hosts)) < resets:
        step(f"RST {count} of {resets}")
        time.sleep(EVENT_INTERVAL_S)
        for host in hosts:
            host.emit()
    for host in hosts:
        host.wire.mend()
    step("draining")
    emitted = sum(host.emitted for host in hosts)
    timing = ConnectionTiming()
    longest_s = timing.max_retry_s * (1 + timing.jitter)
    eventually(lambda: all(host.publisher.outbox_status.waiting == 0 for host in hosts), longest_s + 20)
    waits_s = [[after - before for before, after in pairwise(host.wire.accepted)] for host in hosts]
    for host in hosts:
        host.publisher.stop()
        host.wire.close()
    recorder.close()
    broker.kill()
    logger.removeHandler(lines)
    logger.propagate = before
    between_s = [after - before for at_s in lines.at_s.values() for before, after in pairwise(at_s)]
    quickest_s, closest_s = min(min(one) for one in waits_s), min(between_s)
    received = {event.key for event in recorder.events}
    # how far apart the hosts reconnect that lost the broker together, at each try
    spread_s = [max(one) - min(one) for one in zip(*(host.wire.accepted[1:] for host in hosts), strict=False)]
    return [
        ChaosRow(
            what=f"{count} RSTs: connects",
            goal=f"never less than {MIN_CONNECT_INTERVAL_S:g} s apart, jittered",
            figure=f"{quickest_s:.2f} s; {spread_s[0]:.2f} s apart at the first try",
            ok=quickest_s >= MIN_CONNECT_INTERVAL_S - CLOCK_S and min(spread_s) > 0.1,
            note=f"{HOSTS} hosts at once, {min(map(len, waits_s))} to {max(map(len, waits_s))} waits each, longest "
            f"{max(max(one) for one in waits_s):.1f} s; a reset within {FUSE_S:g} s of each connect",
            samples={f"host {number}, s": one for number, one in enumerate(waits_s)} | {"spread, s": spread_s},
        ),
        ChaosRow(
            what="and the log",
            goal=f"<= a line in {MIN_LINE_INTERVAL_S:g} s",
            figure=f"{closest_s:.2f} s",
            ok=closest_s >= MIN_LINE_INTERVAL_S - CLOCK_S,
            note="the shortest time between two lines of a host",
        ),
        ChaosRow(
            what="and the events",
            goal="0 lost",
            figure=f"{emitted - len(received)} of {emitted}",
            ok=len(received) == emitted > 0,
            note=f"{len(recorder.events) - len(received)} duplicates before dedupe",
        ),
    ]
