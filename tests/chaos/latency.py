"""Latency from the decision to the subscriber's callback: outbox on disk, loopback, events of a few cameras."""

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from tests.chaos.broker import FORGETFUL, Broker
from tests.chaos.emitter import BASE, CAMERAS, make_event
from tests.chaos.row import ChaosRow
from tests.chaos.subscriber import EventRecorder
from tests.support.waiting import eventually

RATE = 50
MAX_P99_MS = 30.0


def latency(folder: Path, events: int, step: Callable[[str], None]) -> list[ChaosRow]:
    """Publish `events`; `step` shows the progress."""
    folder.mkdir(parents=True)
    broker = Broker(folder, FORGETFUL)
    recorder = EventRecorder(broker.port, BASE)
    outbox = Outbox(folder / "outbox", OutboxConfig())
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.port}")

    def connect(will: Any, inbox: "queue.SimpleQueue[Any]") -> Connection:
        return Connection(config, "latency", None, will, inbox)

    publisher = Publisher(BASE, "boot", outbox, connect, lambda error: None)
    publisher.start()
    eventually(lambda: publisher.connected, 10)
    published_ns: dict[str, int] = {}
    start_s = time.monotonic()
    for number in range(events):
        time.sleep(max(0.0, start_s + number / RATE - time.monotonic()))
        event = make_event(CAMERAS[number % len(CAMERAS)], number // len(CAMERAS) + 1, "boot")
        published_ns[event.id] = time.monotonic_ns()
        publisher.event(event)
        if number % RATE == 0:
            step(f"{number} of {events} events")
    eventually(lambda: recorder.count >= events, 30)
    publisher.stop()
    recorder.close()
    broker.kill()
    milliseconds = [(event.at_ns - published_ns[event.id]) / 1e6 for event in recorder.events]
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return [
        ChaosRow(
            what="decision to subscriber",
            goal=f"p99 <= {MAX_P99_MS:g} ms",
            figure=f"{p99:.1f} ms",
            ok=bool(p99 <= MAX_P99_MS) and len(milliseconds) == events,
            note=f"{len(milliseconds)} events at {RATE}/s; median {p50:.1f}, longest {max(milliseconds):.1f} ms; "
            "outbox on disk, loopback; without inference",
            samples={"ms": milliseconds},
        )
    ]
