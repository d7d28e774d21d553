"""The scene of a simulated camera: the frames of a file, or drawn ones, decoded and without an end."""

import time
from pathlib import Path
from typing import Any

from edge_tdn.capture.address import is_live, locate
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.demo.demo_scenes import DEMO
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.media.streams import StreamWatch
from edge_tdn.messages import NS_PER_S

DRAWN_SIZE, DRAWN_RATE = (320, 240), 15  # defaults of drawn scenes: width, height; frames per second
DEFAULT_RATE = 25  # frames per second of a file that declares none
FIRST_FRAME_S = 15.0  # a file without a frame for this long is refused
TEST, NOISE = "test:", "noise:"
SCENES = {  # {shape}: width and height; other sources are files
    TEST: "videotestsrc pattern=ball",
    NOISE: "filesrc name=file ! decodebin ! videoconvert ! videoscale ! video/x-raw,{shape} ! imagefreeze ! sum.sink_0 "
    "videotestsrc pattern=snow ! video/x-raw,{shape} ! sum.sink_1 "
    "compositor name=sum sink_1::alpha=0.05 ! video/x-raw,{shape}",
}


class Film:
    """A video's frames, decoded, 4:2:0, at an even rate and without an end.

    `size` (width, height) and `rate` (frames per second) default to the file's own. Raises SourceError if the
    file cannot be played. Used by one thread; only `resize` may be called from others.
    """

    def __init__(
        self,
        source: str,
        size: tuple[int, int] | None = None,
        rate: int | None = None,
        first_frame_s: float = FIRST_FRAME_S,
    ) -> None:
        self._gst, _ = gstreamer.load()
        self._name, self._path = source, _path(source)
        self._first_frame_s = first_frame_s
        self._pipeline: Any = None
        self._streams: StreamWatch | None = None  # of a file that is being played
        self.size, self.rate = DRAWN_SIZE, DRAWN_RATE
        if source not in SCENES:
            self.size, self.rate = self._inspect()
        self.size, self.rate = size or self.size, rate or self.rate
        self.resize(*self.size)
        self._open()

    def next(self) -> Any:
        """Return the next frame, a Gst.Sample."""
        sample = self._pull()
        if sample is None:  # begin again
            self._open()
            sample = self._pull()
        if sample is None:
            raise self._refusal("no picture in it")
        return sample

    def resize(self, width: int, height: int) -> None:
        """Change the size of the frames."""
        shape = f"width={width},height={height},framerate={self.rate}/1,pixel-aspect-ratio=1/1"
        self._caps = self._gst.Caps.from_string(f"video/x-raw,format=I420,{shape}")
        if self._pipeline:
            self._pipeline.get_by_name("caps").set_property("caps", self._caps)

    def close(self) -> None:
        """Stop the pipeline and free its threads."""
        if self._pipeline:
            self._pipeline.set_state(self._gst.State.NULL)
            self._pipeline = None

    def _inspect(self) -> tuple[tuple[int, int], int]:
        """Return the file's width and height (even, as encoders require) and rate."""
        self._caps = self._gst.Caps.from_string("video/x-raw,format=I420")
        try:
            self._open()
            sample = self._pull()
        finally:
            self.close()
        if sample is None:
            raise self._refusal("no picture in it")
        caps = sample.get_caps().get_structure(0)
        declared, frames, seconds = caps.get_fraction("framerate")
        width, height = (max(2, caps.get_int(side)[1] // 2 * 2) for side in ("width", "height"))
        return (width, height), round(frames / seconds) if declared and frames else DEFAULT_RATE

    def _open(self) -> None:
        self.close()
        scene = SCENES.get(self._name, "filesrc name=file ! decodebin name=decode")
        scene = scene.format(shape=f"width={self.size[0]},height={self.size[1]}")
        self._pipeline = self._gst.parse_launch(
            f"{scene} ! videoconvert ! videoscale ! videorate ! capsfilter name=caps ! "
            "appsink name=sink sync=false max-buffers=2"
        )
        self._pipeline.get_by_name("caps").set_property("caps", self._caps)
        if self._path:
            self._pipeline.get_by_name("file").set_property("location", self._path)
        decodebin = self._pipeline.get_by_name("decode")
        self._streams = StreamWatch(decodebin) if decodebin else None
        self._pipeline.set_state(self._gst.State.PLAYING)

    def _pull(self) -> Any:
        """Return the next frame, or None at the end."""
        sink, deadline_s = self._pipeline.get_by_name("sink"), time.monotonic() + self._first_frame_s
        while (sample := sink.try_pull_sample(NS_PER_S // 5)) is None and not sink.is_eos():
            if self._streams and self._streams.without_video:
                raise self._refusal("no video in it")
            if message := self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR):
                raise self._refusal(message.parse_error()[0].message.strip())
            if time.monotonic() > deadline_s:
                raise self._refusal(f"no picture for {self._first_frame_s:.0f} s")
        return sample

    def _refusal(self, reason: str) -> SourceError:
        return SourceError(f"{self._name}: {reason}", "ended")


def _path(source: str) -> str:
    """Return the file to play; empty for a drawn scene. Raises SourceError if there is none."""
    if source == TEST:
        return ""
    if source in (DEMO, NOISE):
        return str(demo_clip())
    if is_live(source):
        raise SourceError(f"{source}: only files are served, and {DEMO}, {TEST}, {NOISE}")
    return locate(source, Path.cwd())
