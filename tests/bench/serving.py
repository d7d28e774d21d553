"""`edge-tdn run` in a process of its own, to be measured from outside. Its broker need not exist."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from edge_tdn.manifest import Model

HEAD = """
[broker]
{broker}

[runtime]
model = "{model}"
device = "CPU"
precision = "{precision}"
"""
NO_BROKER = 'url = "mqtt://127.0.0.1:9"'


@contextmanager
def serving(model: Model, precision: str, rest: str, config: Path, broker: str = NO_BROKER) -> Iterator[psutil.Process]:
    """Run a daemon during the block.

    `rest`: its configuration after `HEAD`; `config`: the file to write it to; `broker`: the keys of [broker].
    """
    config.write_text(HEAD.format(broker=broker, model=model.folder.resolve(), precision=precision) + rest)
    command = [sys.executable, "-m", "edge_tdn", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        try:
            yield psutil.Process(run.pid)
        finally:
            run.terminate()
            run.wait(10)
