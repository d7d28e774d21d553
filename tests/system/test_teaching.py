"""Teach an action as docs/teach.md describes it: a camera, `record` twice, `finetune`, and its events at a broker.

Each command after the first is the one that the command before it printed, run by a shell; the background is recorded
for less time.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_tdn.manifest import open_model
from edge_tdn.media import gstreamer
from edge_tdn.shell import command
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.filmed_hall import FilmedHall, day, door, usual
from tests.support.mqtt import HostRecorder, actions_of
from tests.support.rtsp import RtspCamera
from tests.support.site import write_site
from tests.support.waiting import PROGRAM_S

pytestmark = [
    pytest.mark.training,
    pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages"),
]
ACTION = "door open"
TRAINING_S = 3 * PROGRAM_S  # eight minutes on a busy machine
MAX_CLIP_BYTES = 20_000


class Workplace(FilmedHall):
    """A hall with a camera, and a shell to type commands."""

    def __init__(self, folder: Path, camera: Callable[..., RtspCamera]) -> None:
        super().__init__(folder, camera)
        self.folder = folder
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "export", ROOT / "training"))),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def type(self, line: str) -> list[str]:
        """Run a command line to its end and return the lines that it prints with an indent: what to type next."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TRAINING_S,
        )
        assert done.returncode == 0, done.stdout
        _, _, following = done.stdout.partition("\nnext, ")
        return [text.strip() for text in following.splitlines() if text.startswith("  ")]

    @contextmanager
    def typed(self, line: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a command that serves until the block ends."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(["sh", "-c", f"exec {line}"], cwd=self.folder, env=self._environment, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PROGRAM_S)


@pytest.mark.timeout(2 * TRAINING_S)
def test_an_action_is_taught_with_the_commands_as_they_are_printed(
    rtsp: Callable[..., RtspCamera], broker: Mosquitto, tmp_path: Path
) -> None:
    hall = Workplace(tmp_path, rtsp)
    hall.show(door)
    line = ("--source", hall.camera.url(), "--label", ACTION, "--out", "clips", "--count", "6", "--seconds", "2")
    (background,) = hall.type(command("edge-tdn", "record", *line, "--pause", "0.2"))
    hall.show(usual)
    (finetune,) = hall.type(f"{background} --count 6 --seconds 2 --pause 0.2")  # it would take ten minutes
    clips = list((tmp_path / "clips").glob("*/*.mp4"))
    assert len(clips) == 12
    assert all(path.stat().st_size < MAX_CLIP_BYTES for path in clips)
    section, served, precision, check, run, *_copied = hall.type(finetune)  # for a service: copied first
    model = open_model(tmp_path / "models/door-open")
    assert model.labels == ("background", ACTION)
    results = json.loads((model.folder / "finetune.json").read_text())["results"]
    assert results["fp32"]["top1"] >= 0.9
    hall.show(day)
    camera = f'name = "hall"\nsource = "{hall.camera.url()}"'
    write_site(tmp_path, broker.url, camera, extra="\n".join((section, served, precision)))
    hall.type(check)
    recorder = HostRecorder(broker.port, "edge-tdn/test")
    with hall.typed(run) as daemon:
        recorder.wait_for(lambda: recorder.labels("hall").count(ACTION) >= 3 or daemon.poll() is not None)
    recorder.wait_for(lambda: recorder.availability[-1:] == ["stopped"])
    events = recorder.of("hall", "events")
    assert [label for label, _ in actions_of(events)] == [ACTION] * 3
    assert {event["model"]["id"] for event in events} == {"door-open"}
    recorder.close()
