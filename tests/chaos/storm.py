"""Connections that are reset as soon as they stand: how often a site's hosts come again, and what they say about it.

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
from tests.chaos.emitter import CAMERAS, event
from tests.chaos.rig import until
from tests.chaos.row import Row
from tests.chaos.subscriber import Subscriber
from tests.support.wire import Wire

HOSTS = 12
FUSE_S = 0.2  # a connection is reset within this
EVENT_EVERY_S = 0.5  # of each host
LEAST_S, LINE_EVERY_S = 1.0, 1.0  # between two connects of a host; between two lines of its log
CLOCK_S = 0.02  # that the two ends' clocks may differ: one looks when it begins, one when it has accepted


class _Lines(logging.Handler):
    """When the publisher of each host said something."""

    def __init__(self) -> None:
        super().__init__()
        self.at: defaultdict[int | None, list[float]] = defaultdict(list)  # by thread

    def emit(self, record: logging.LogRecord) -> None:
        self.at[record.thread].append(time.monotonic())


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
        self.publisher.event(event(CAMERAS[0], self.emitted, f"boot-{self.base}"))


def storm(folder: Path, resets: int, step: Callable[[str], None]) -> list[Row]:
    folder.mkdir(parents=True)
    broker = Broker(folder, FORGETFUL)
    subscriber = Subscriber(broker.port, "edge-tdn/+")
    lines = _Lines()
    logger = logging.getLogger("edge_tdn")
    before, logger.propagate = logger.propagate, False
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    hosts = [_Host(folder, broker, number) for number in range(HOSTS)]
    until(lambda: all(host.publisher.connected for host in hosts), 10)
    for host in hosts:
        host.wire.fuse_s = FUSE_S
        host.wire.reset()  # all at once
    while (suffered := sum(len(host.wire.accepted) for host in hosts)) < resets:
        step(f"RST {suffered} of {resets}")
        time.sleep(EVENT_EVERY_S)
        for host in hosts:
            host.emit()
    for host in hosts:
        host.wire.mend()
    step("drained")
    emitted = sum(host.emitted for host in hosts)
    timing = ConnectionTiming()
    longest_s = timing.max_retry_s * (1 + timing.jitter)
    until(lambda: all(host.publisher.outbox_status.waiting == 0 for host in hosts), longest_s + 20)
    waits = [[after - before for before, after in pairwise(host.wire.accepted)] for host in hosts]
    for host in hosts:
        host.publisher.stop()
        host.wire.close()
    subscriber.go()
    broker.kill()
    logger.removeHandler(lines)
    logger.propagate = before
    between = [after - before for at in lines.at.values() for before, after in pairwise(at)]
    quickest_s, closest_s = min(min(one) for one in waits), min(between)
    heard = {one.key for one in subscriber.heard}
    # how far apart the hosts are that lost the broker together, at each try
    spread_s = [max(one) - min(one) for one in zip(*(host.wire.accepted[1:] for host in hosts), strict=False)]
    return [
        Row(
            what=f"{suffered} RSTs: connects",
            goal=f"never less than {LEAST_S:g} s apart, jittered",
            figure=f"{quickest_s:.2f} s; {spread_s[0]:.2f} s apart at the first try",
            ok=quickest_s >= LEAST_S - CLOCK_S and min(spread_s) > 0.1,
            note=f"{HOSTS} hosts at once, {min(map(len, waits))} to {max(map(len, waits))} waits each, longest "
            f"{max(max(one) for one in waits):.1f} s; a reset within {FUSE_S:g} s of each connect",
            samples={f"host {number}, s": one for number, one in enumerate(waits)} | {"spread, s": spread_s},
        ),
        Row(
            what="and the log",
            goal=f"<= a line in {LINE_EVERY_S:g} s",
            figure=f"{closest_s:.2f} s",
            ok=closest_s >= LINE_EVERY_S - CLOCK_S,
            note="the shortest time between two lines of a host",
        ),
        Row(
            what="and the events",
            goal="0 lost",
            figure=f"{emitted - len(heard)} of {emitted}",
            ok=len(heard) == emitted > 0,
            note=f"{len(subscriber.heard) - len(heard)} duplicates before dedupe",
        ),
    ]
