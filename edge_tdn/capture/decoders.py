"""Which of GStreamer's elements decodes a camera's pictures: hardware where there is some, software where that fails.

A hardware decoder (VA-API, V4L2, NVDEC) is only there where GStreamer finds its device, and decodebin passes over one
that does not open. What is left to do: to rank them above the software, and to pass over one that opened and then gave
an error, or no picture.
"""

import logging
import time
from collections import defaultdict
from functools import cache
from typing import Any

from edge_tdn.media import gstreamer

RAISED = 1024  # more than any software decoder has
AGAIN_S = 3600.0  # hardware that failed is tried again after so long: it may have been the camera that went
TRY, SKIP = 0, 2  # GstAutoplugSelectResult, which only decodebin's plugin knows

log = logging.getLogger(__name__)
_failed: defaultdict[str, dict[str, float]] = defaultdict(dict)  # camera -> element -> monotonic s: not before then


class Decoders:
    """Of one connection of one camera. Hardware is for those that are tried again: no files."""

    def __init__(self, camera: str, pipeline: Any, hardware_wanted: bool) -> None:
        # The pipeline itself is not kept: it holds what listens to it, and neither would ever be freed.
        self._camera, self._wanted = camera, hardware_wanted
        self._chosen: set[str] = set()  # hardware that decodebin was let have; not what a gst: description names
        for factory in hardware():
            _raise(factory)
        for element in elements(pipeline):
            if _name(element) in ("decodebin", "uridecodebin"):
                element.connect("autoplug-select", self._select)

    def blame(self, element: Any) -> None:
        """An error came from this element."""
        self._fail({_name(element)} & self._chosen)

    def fruitless(self, pipeline: Any) -> None:
        """The connection ends, and not one picture came."""
        used = {_name(element) for element in elements(pipeline)} & self._chosen
        if used:
            self._fail(used)
        elif decoder(pipeline):  # software fared no better: it is the camera's fault
            _failed[self._camera].clear()

    def _select(self, _bin: Any, _pad: Any, _caps: Any, factory: Any) -> int:
        """On a thread of GStreamer's: whether this element may decode."""
        if factory not in hardware():
            return TRY
        name = factory.get_name()
        if not self._wanted or time.monotonic() < _failed[self._camera].get(name, 0.0):
            return SKIP
        self._chosen.add(name)
        return TRY

    def _fail(self, names: set[str]) -> None:
        now = time.monotonic()
        for name in names:
            if now >= _failed[self._camera].get(name, 0.0):
                _failed[self._camera][name] = now + AGAIN_S
                log.warning("camera=%s decoder=%s failed; software is next", self._camera, name)


def decoder(pipeline: Any) -> str:
    """The element that decodes now; empty: none does, the pictures come raw."""
    return next((_name(element) for element in elements(pipeline) if decodes(element.get_factory())), "")


@cache
def hardware() -> tuple[Any, ...]:
    """The factories of the hardware decoders of this machine."""
    Gst, _ = gstreamer.load()
    decoders = Gst.ElementFactory.list_get_elements(Gst.ELEMENT_FACTORY_TYPE_DECODER, Gst.Rank.NONE)
    return tuple(factory for factory in decoders if decodes(factory) and "Hardware" in factory.get_metadata("klass"))


@cache
def _raise(factory: Any) -> None:
    factory.set_rank(factory.get_rank() + RAISED)


def decodes(factory: Any) -> bool:
    """Whether the elements of this factory decode pictures. None: a bin of no factory."""
    parts = factory.get_metadata("klass").split("/") if factory else []
    return "Decoder" in parts and ("Video" in parts or "Image" in parts)


def _name(element: Any) -> str:
    factory = element.get_factory() if element else None
    return factory.get_name() if factory else ""


def elements(pipeline: Any) -> list[Any]:
    """Of a pipeline and of the bins within it."""
    found: list[Any] = []
    pipeline.iterate_recurse().foreach(found.append)
    return found
