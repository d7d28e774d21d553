"""Small videos and pictures whose colours a test can recognise."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S, Picture
from tests.support.waiting import PATIENCE_S

RED, BLUE = (200, 30, 30), (30, 30, 200)  # left and right of the edge
QUARTERS = {"red": RED, "green": (30, 160, 30), "blue": BLUE, "white": (220, 220, 220)}  # top row, then bottom row
ENCODING_NS = int(PATIENCE_S * NS_PER_S)  # longest wait for a pipeline


def encode(pipeline: str, path: Path) -> Path:
    """Run a GStreamer pipeline into a file and return its path."""
    Gst, _ = gstreamer.load()
    running = Gst.parse_launch(f"{pipeline} ! filesink name=file")
    running.get_by_name("file").set_property("location", str(path))
    running.set_state(Gst.State.PLAYING)
    message = running.get_bus().timed_pop_filtered(ENCODING_NS, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    running.set_state(Gst.State.NULL)
    assert message is not None
    assert message.type == Gst.MessageType.EOS, message.parse_error()
    return path


def bars(width: int, height: int, frames: int = 15, rate: int = 30) -> str:
    """Return the pipeline of a test pattern."""
    return f"videotestsrc num-buffers={frames} ! video/x-raw,width={width},height={height},framerate={rate}/1"


def animation(kind: str) -> bytes:
    """Return ten grey pictures in one file: `kind` is GIF, PNG or WEBP."""
    first, *rest = (Image.fromarray(np.full((48, 64, 3), 20 * n, np.uint8)) for n in range(10))
    content = io.BytesIO()
    first.save(content, kind, save_all=True, append_images=rest, duration=100)
    return content.getvalue()


def still(picture: Picture, folder: Path, frames: int) -> str:
    """Return the pipeline that repeats a picture, which is written to `folder`."""
    height, width = picture.shape[:2]
    path = folder / "still.ppm"
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + picture.tobytes())
    return f"filesrc location={path} ! decodebin ! imagefreeze num-buffers={frames}"


def edge(height: int, width: int) -> Picture:
    """Return a picture that is red left of the middle and blue right of it."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = RED, BLUE
    return picture


def quarters(height: int, width: int) -> Picture:
    """Return a picture whose quarters have the colours of QUARTERS."""
    picture = np.empty((height, width, 3), np.uint8)
    top, left = slice(0, height // 2), slice(0, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    places = ((top, left), (top, right), (bottom, left), (bottom, right))
    for (rows, columns), colour in zip(places, QUARTERS.values(), strict=True):
        picture[rows, columns] = colour
    return picture


def quarter_colours(picture: Picture) -> list[str]:
    """Return the name of each quarter's colour: top row, then bottom row."""
    height, width = picture.shape[:2]
    found = []
    for row in (height // 4, height * 3 // 4):
        for column in (width // 4, width * 3 // 4):
            pixel = picture[row, column].astype(int)
            found.append(min(QUARTERS, key=lambda name: int(np.abs(pixel - QUARTERS[name]).sum())))
    return found
