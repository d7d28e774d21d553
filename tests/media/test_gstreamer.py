"""PyGObject makes a class when it is first used: all of them exist before two cameras could make one each."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.media import gstreamer
from tests.support.waiting import PROGRAM_S

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
PROGRAM = """
import sys, threading
from pathlib import Path
from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.media import gstreamer

def structures():
    made = [one for module in gstreamer.load() for one in vars(module).values() if isinstance(one, type)]
    return {one.__name__ for one in made if type(one).__name__ == "StructMeta"}

before = structures()
stop = threading.Event()
camera = CameraConfig(name="a", source=sys.argv[1], decoder="gstreamer")
for frame in Source(camera, Path(), lambda state, reason: None).frames(stop):
    assert frame.picture.any()
    stop.set()
print(before and sorted(structures() - before))
"""


@pytest.mark.parametrize("source", ["file", "gst: videotestsrc is-live=true"])
def test_no_camera_makes_a_class(source: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(demo_clip()) if source == "file" else source]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PROGRAM_S)
    assert (done.stdout, done.stderr) == ("[]\n", "")
