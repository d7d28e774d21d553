"""The demo's video: an object that makes every motion of the `motion` model. Drawn once, kept in the user's cache.

A daemon imports this for the clip's path: OpenCV, 16 MB, is imported only to draw.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from edge_tdn.errors import EdgeTdnError
from edge_tdn.messages import Picture

HEIGHT, WIDTH, RATE = 360, 480, 30  # pixels, frames per second
SEED = 35  # training clips use other seeds, from 1 << 24 on
NAME = "demo-1.mp4"  # another number when the clip changes
ACTIONS = ("right", "left", "up", "down", "approach", "recede", "wave")
ACTION_S, STILL_S = 2.6, 1.8  # seconds
SCRIPT = (*(step for action in ACTIONS for step in (("still", STILL_S), (action, ACTION_S))), ("still", STILL_S))


def demo_clip_path() -> Path:
    """Return the clip's path, whether or not it exists."""
    return _cache() / NAME


def demo_clip() -> Path:
    """Return the clip's path; it is drawn and encoded at first use, with a progress bar."""
    import cv2
    from rich.console import Console
    from rich.progress import track

    from edge_tdn.media.video_writer import write_video

    path = demo_clip_path()
    frames = sum(round(seconds * RATE) for _, seconds in SCRIPT)
    if not path.is_file() or cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) != frames:  # absent or damaged
        console = Console(stderr=True)
        if not console.is_terminal:
            console.print("drawing the demo clip (once, takes a few seconds)")
        write_video(
            track(pictures(), "drawing the demo clip (once)", frames, console=console, transient=True), RATE, path
        )
    return path


def pictures() -> Iterator[Picture]:
    """Yield the frames, uint8 RGB [360, 480, 3]."""
    from edge_tdn.demo.scene import Motion, Pose, Scene

    scene = Scene(np.random.default_rng(SEED), HEIGHT, WIDTH)
    pose = Pose(0.3, 0.55, 0.3)
    for label, seconds in SCRIPT:
        motion = Motion(label, speed=0.17, growth=0.4, swing=0.1, frequency=1.2)
        for number in range(round(seconds * RATE)):
            yield scene.draw(motion.at(pose, number / RATE))
        pose = motion.at(pose, seconds) if label != "wave" else pose


def _cache() -> Path:
    """Return the user's cache folder, or a private temporary one if it is not writable."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (cache / "edge-tdn", Path(tempfile.gettempdir()) / f"edge-tdn-{os.getuid()}"):
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
                return folder
    raise EdgeTdnError(f"no folder for the demo clip: {cache} cannot be written; set XDG_CACHE_HOME")
