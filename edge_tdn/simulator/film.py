"""What a simulated camera sees: the pictures of a file, or drawn ones, decoded and without an end."""

import time
from pathlib import Path
from typing import Any

from edge_tdn.capture.address import is_live, locate
from edge_tdn.demo.demo_clip import DEMO, demo_clip
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S

DRAWN_SIZE, DRAWN_RATE = (320, 240), 15  # of what is drawn, unless asked otherwise: width, height; frames a second
UNTOLD_RATE = 25  # frames a second of a file that does not say
FIRST_PICTURE_S = 15.0  # by then a file has given a picture
TEST, NOISE = "test:", "noise:"
PICTURES = {  # {shape}: width and height; the others are files
    TEST: "videotestsrc pattern=ball",
    NOISE: "filesrc name=file ! decodebin ! videoconvert ! videoscale ! video/x-raw,{shape} ! imagefreeze ! sum.sink_0 "
    "videotestsrc pattern=snow ! video/x-raw,{shape} ! sum.sink_1 "
    "compositor name=sum sink_1::alpha=0.05 ! video/x-raw,{shape}",
}


class Film:
    """A video's pictures, decoded, 4:2:0, at an even pace and without an end. SourceError: it cannot be played.

    `size` (width, height) and `rate` (frames a second) are the file's own where they are None.
    """

    def __init__(self, source: str, size: tuple[int, int] | None = None, rate: int | None = None) -> None:
        self._gst, _ = gstreamer.load()
        self._name, self._path = source, _path(source)
        self._pipeline: Any = None
        self.size, self.rate = DRAWN_SIZE, DRAWN_RATE
        if source not in PICTURES:
            self.size, self.rate = self._look()
        self.size, self.rate = size or self.size, rate or self.rate
        self.resize(*self.size)
        self._open()

    def next(self) -> Any:
        """The next picture, a Gst.Sample."""
        sample = self._pull()
        if sample is None:  # from the beginning again
            self._open()
            sample = self._pull()
        if sample is None:
            raise SourceError(f"{self._name}: no picture in it", "ended")
        return sample

    def resize(self, width: int, height: int) -> None:
        """Of the pictures that come."""
        shape = f"width={width},height={height},framerate={self.rate}/1,pixel-aspect-ratio=1/1"
        self._caps = self._gst.Caps.from_string(f"video/x-raw,format=I420,{shape}")
        if self._pipeline:
            self._pipeline.get_by_name("caps").set_property("caps", self._caps)

    def close(self) -> None:
        if self._pipeline:
            self._pipeline.set_state(self._gst.State.NULL)
            self._pipeline = None

    def _look(self) -> tuple[tuple[int, int], int]:
        """Width and height (even, as encoders want them) and rate that the file has."""
        self._caps = self._gst.Caps.from_string("video/x-raw,format=I420")
        try:
            self._open()
            sample = self._pull()
        finally:
            self.close()
        if sample is None:
            raise SourceError(f"{self._name}: no picture in it", "ended")
        caps = sample.get_caps().get_structure(0)
        told, pictures, seconds = caps.get_fraction("framerate")
        width, height = (max(2, caps.get_int(side)[1] // 2 * 2) for side in ("width", "height"))
        return (width, height), round(pictures / seconds) if told and pictures else UNTOLD_RATE

    def _open(self) -> None:
        self.close()
        pictures = PICTURES.get(self._name, "filesrc name=file ! decodebin")
        pictures = pictures.format(shape=f"width={self.size[0]},height={self.size[1]}")
        self._pipeline = self._gst.parse_launch(
            f"{pictures} ! videoconvert ! videoscale ! videorate ! capsfilter name=caps ! "
            "appsink name=sink sync=false max-buffers=2"
        )
        self._pipeline.get_by_name("caps").set_property("caps", self._caps)
        if self._path:
            self._pipeline.get_by_name("file").set_property("location", self._path)
        self._pipeline.set_state(self._gst.State.PLAYING)

    def _pull(self) -> Any:
        """The next picture; None at the end."""
        sink, deadline = self._pipeline.get_by_name("sink"), time.monotonic() + FIRST_PICTURE_S
        while (sample := sink.try_pull_sample(NS_PER_S // 5)) is None and not sink.is_eos():
            if message := self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR):
                raise SourceError(f"{self._name}: {message.parse_error()[0].message.strip()}", "ended")
            if time.monotonic() > deadline:
                raise SourceError(f"{self._name}: no picture for {FIRST_PICTURE_S:.0f} s", "ended")
        return sample


def _path(source: str) -> str:
    """The file that is played, empty for none. SourceError: there is none."""
    if source == TEST:
        return ""
    if source in (DEMO, NOISE):
        return str(demo_clip())
    if is_live(source):
        raise SourceError(f"{source}: only files are served, and {DEMO}, {TEST}, {NOISE}")
    return locate(source, Path.cwd())
