"""GStreamer's raw buffers -> `Yuv420`, whatever the layout of their planes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Colorimetry, Yuv420


@dataclass(frozen=True)
class _Layout:
    """The place of the planes in a buffer: Y, U, V; or Y and interleaved UV."""

    shapes: tuple[tuple[int, ...], ...]  # of each plane
    pixels: tuple[tuple[int, ...], ...]  # bytes from one pixel of a row to the next, and from U to V
    offsets: tuple[int, ...]  # bytes; more than there are planes
    strides: tuple[int, ...]  # bytes from one row to the next
    colorimetry: Colorimetry


class YuvReader:
    """Reads the planes of one pipeline's buffers. Used by the thread that reads the capture."""

    def __init__(self) -> None:
        self._gst, self._video = gstreamer.load()
        self._caps: Any = None  # of the last frame
        self._layout: _Layout | None = None  # of these caps

    @property
    def any(self) -> bool:
        """Return True if at least one frame was read."""
        return self._layout is not None

    def read(self, caps: Any, buffer: Any) -> Yuv420:
        """Return a buffer's planes. Strides and offsets are the buffer's own where it has them, else its caps'."""
        if self._layout is None or not caps.is_equal(self._caps):  # a camera may change its size at any time
            self._caps, self._layout = caps, _layout(self._video, caps)
        layout = self._layout
        own = self._video.buffer_get_video_meta(buffer)
        mapped, memory = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise SourceError("a decoded picture cannot be read", "stalled")
        try:
            data = memory.data  # PyGObject returns a copy, so it outlives the buffer
        finally:
            buffer.unmap(memory)
        planes = [
            np.ndarray(shape, np.uint8, data, offset, (stride, *pixel))
            for shape, pixel, offset, stride in zip(
                layout.shapes,
                layout.pixels,
                own.offset if own else layout.offsets,
                own.stride if own else layout.strides,
                strict=False,
            )
        ]
        return Yuv420(planes[0], planes[1:], layout.colorimetry)


def _layout(video: Any, caps: Any) -> _Layout:
    info = video.VideoInfo.new_from_caps(caps)
    half = ((info.height + 1) // 2, (info.width + 1) // 2)
    interleaved = info.finfo.n_planes == 2
    return _Layout(
        shapes=((info.height, info.width), (*half, 2)) if interleaved else ((info.height, info.width), half, half),
        pixels=((1,), (2, 1)) if interleaved else ((1,), (1,), (1,)),
        offsets=tuple(info.offset),
        strides=tuple(info.stride),
        colorimetry=_colorimetry(video, caps, info),
    )


def _colorimetry(video: Any, caps: Any, info: Any) -> Colorimetry:
    """Return the caps' colorimetry; by default 16 to 235, BT.601 up to 576 lines and BT.709 above."""
    declared = video.VideoColorimetry()
    # VideoInfo drops the range of a stream that declares no matrix, such as a webcam's recording.
    if not declared.from_string(caps.get_structure(0).get_string("colorimetry") or ""):
        declared = info.colorimetry
    _, kr, kb = video.video_color_matrix_get_Kr_Kb(info.colorimetry.matrix)
    return Colorimetry(kr, kb, full_range=declared.range == getattr(video.VideoColorRange, "0_255"))
