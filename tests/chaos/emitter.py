"""An emitter of events: a process of its own with the real outbox, publisher and connection, but without cameras.

It makes events at a given rate, for several cameras in turn, and logs each when the outbox has stored it. It writes its
status to its standard output, a JSON object per line.
"""

import argparse
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.messages import ActionEvent, EventWindow, Latency, ModelRef, Reply, iso
from tests.support.waiting import PATIENCE_S, eventually

HOST = "chaos"
BASE = f"edge-tdn/{HOST}"
CAMERAS = ["door", "gate", "yard", "attic"]
TURN_S = 0.02
STATUS_INTERVAL_S = 0.1
MODEL = ModelRef(id="chaos", precision="fp32", sha256="0" * 64)
LATENCY = Latency(capture=1.5, window=0.2, infer=9.8, decide=0.1, total=11.6)

Status = dict[str, Any]  # of the outbox, with done, connected, connects and memory_mb


class LoggedOutbox(Outbox):
    """Writes the id and number of every event to a log after it was stored."""

    def __init__(self, folder: Path, config: OutboxConfig, log: Path) -> None:
        self._handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        super().__init__(folder, config)

    def put(self, events: Sequence[tuple[str, int, bytes]]) -> None:
        super().put(events)
        lines = [f"{json.loads(payload)['id']} {seq}\n" for _, seq, payload in events]
        os.write(self._handle, "".join(lines).encode())  # in the kernel, which outlives this process


def make_event(camera: str, seq: int, boot: str) -> ActionEvent:
    now = iso(time.time_ns())
    return ActionEvent(
        id=f"{HOST}/{camera}/{boot}/{seq}",
        seq=seq,
        type="start",
        host=HOST,
        camera=camera,
        label="walking to the left",
        label_index=3,
        score=0.87,
        peak_score=0.91,
        started_at=now,
        latency_ms=LATENCY,
        model=MODEL,
        window=EventWindow(from_=now, to=now, frames=40, dropped=0),
    )


class Emitter:
    """The process, seen from the test. `config`: keys of [outbox]."""

    def __init__(self, port: int, folder: Path, log: Path, **config: float) -> None:
        self._log = log
        self.protocol, self.snapshot_bytes = "5", 0  # bytes of a picture that is published with every event; 0: none
        self._arguments = ["--port", str(port), "--folder", str(folder), "--log", str(log)]
        self._arguments += ["--outbox", json.dumps(config)]
        self.status: Status = {}  # newest
        self.memory_mb: list[float] = []  # resident, since the start

    def start(self, rate: float, events: int) -> None:
        """Emit `rate` events a second until the log has `events`; return when the outbox is open."""
        self.status, self.memory_mb = {}, []
        command = [sys.executable, "-m", "tests.chaos.emitter", "--rate", str(rate), "--events", str(events)]
        command += ["--protocol", self.protocol, "--snapshot-bytes", str(self.snapshot_bytes)]
        with self._log.with_suffix(".err").open("ab") as errors:
            self.process = subprocess.Popen(
                [*command, *self._arguments], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.wait_for(bool, PATIENCE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop it as the daemon is stopped."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE_S):
            raise SystemExit(f"the emitter ended with {self.process.returncode}: {self._log.with_suffix('.err')}")

    def wait_for(self, condition: Callable[[Status], object], timeout_s: float) -> float:
        """Wait until the status fulfils the condition; return how many seconds that took."""
        start_s = time.monotonic()

        def met() -> object:
            if self.process.poll() is not None:
                raise SystemExit(f"the emitter died: {self._log.with_suffix('.err')}")
            return condition(self.status)

        eventually(met, timeout_s, lambda: self.status)
        return time.monotonic() - start_s

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            if process is self.process:
                self.status = json.loads(line)
                self.memory_mb.append(self.status["memory_mb"])


def is_drained(status: Status) -> bool:
    """Return whether all is emitted, and acknowledged by the broker."""
    return bool(status) and status["done"] and status["waiting"] == 0


def _memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    boot = secrets.token_hex(4)
    before = options.log.read_text().count("\n") if options.log.exists() else 0
    outbox = LoggedOutbox(options.folder, OutboxConfig.model_validate(json.loads(options.outbox)), options.log)
    broker = BrokerConfig(url=f"mqtt://127.0.0.1:{options.port}", keepalive_s=2, protocol=options.protocol)

    def on_command(topic: str, payload: bytes) -> None:
        request = json.loads(payload)
        reply = Reply(command=topic, id=None, ok=True, error="", result={})
        publisher.replay(request["camera"], request["from_seq"], request["to_seq"], reply)

    publisher = Publisher(
        BASE,
        boot,
        outbox,
        lambda will, inbox: Connection(broker, f"edge-tdn-{HOST}", None, will, inbox),
        lambda error: os._exit(3),
        on_command,
    )
    seqs = {camera: publisher.last_seq(camera) for camera in CAMERAS}
    publisher.start()
    start_s, made, reported_s = time.monotonic(), 0, 0.0
    while not stopped.wait(TURN_S):
        due = min(round((time.monotonic() - start_s) * options.rate), options.events - before)
        for number in range(made, due):
            camera = CAMERAS[number % len(CAMERAS)]
            seqs[camera] += 1
            publisher.event(make_event(camera, seqs[camera], boot))
            if options.snapshot_bytes:
                publisher.action(camera, f"label {number}")
                publisher.snapshot(camera, secrets.token_bytes(options.snapshot_bytes + number % 1000))
        made = max(made, due)
        if time.monotonic() - reported_s >= STATUS_INTERVAL_S:
            reported_s = time.monotonic()
            stored = sum(outbox.last_seq(camera) == seq for camera, seq in seqs.items()) == len(CAMERAS)
            status = outbox.status().model_dump() | {"done": before + made >= options.events and stored}
            status |= {"connected": publisher.connected, "connects": publisher.connects, "memory_mb": _memory_mb()}
            sys.stdout.write(json.dumps(status) + "\n")
            sys.stdout.flush()
    publisher.stop()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (
        ("port", int),
        ("folder", Path),
        ("log", Path),
        ("outbox", str),
        ("rate", float),
        ("events", int),
        ("protocol", str),
        ("snapshot-bytes", int),
    ):
        parser.add_argument(f"--{name}", type=kind, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
