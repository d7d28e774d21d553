"""Which of GStreamer's elements decodes a camera's pictures: hardware where there is some, software where that fails.

A hardware decoder (VA-API, V4L2, NVDEC) is only there where GStreamer finds its device, and decodebin passes over one
that does not open. What is left to do: to rank them above the software, and to pass over one that opened and then gave
an error, or no picture.
"""

import logging
from functools import cache
from typing import Any

from edge_tdn import gstreamer
from edge_tdn.config import CameraConfig

RAISED = 1024  # more than any software decoder has
TRY, SKIP = 0, 2  # GstAutoplugSelectResult, which only decodebin's plugin knows

log = logging.getLogger(__name__)
_failed: set[tuple[str, str]] = set()  # camera, element


class Decoders:
    """Of one connection of one camera."""

    def __init__(self, camera: CameraConfig, pipeline: Any) -> None:
        self._camera, self._pipeline = camera, pipeline
        for factory in hardware():
            _raise(factory)
        for element in _all(pipeline):
            if _name(element) == "decodebin":
                element.connect("autoplug-select", self._select)

    @property
    def name(self) -> str:
        """The element that decodes now; empty: none does, the pictures come raw."""
        return next((_name(element) for element in _all(self._pipeline) if _decodes(element.get_factory())), "")

    def blame(self, element: Any) -> None:
        """An error came from this element."""
        if element is not None and element.get_factory() in hardware():
            self._fail(_name(element))

    def fruitless(self) -> None:
        """The connection ends, and not one picture came."""
        used = [_name(element) for element in _all(self._pipeline) if element.get_factory() in hardware()]
        for name in used:
            self._fail(name)
        if self.name and not used:  # software fared no better: it was the camera's fault
            _failed.difference_update({failed for failed in _failed if failed[0] == self._camera.name})

    def _select(self, _bin: Any, _pad: Any, _caps: Any, factory: Any) -> int:
        """On a thread of GStreamer's: whether this element may decode."""
        if factory not in hardware():
            return TRY
        wanted = self._camera.hardware and (self._camera.name, factory.get_name()) not in _failed
        return TRY if wanted else SKIP

    def _fail(self, name: str) -> None:
        if (self._camera.name, name) not in _failed:
            _failed.add((self._camera.name, name))
            log.warning("camera=%s decoder=%s failed; software is next", self._camera.name, name)


@cache
def hardware() -> tuple[Any, ...]:
    """The factories of the hardware decoders of this machine."""
    Gst, _ = gstreamer.load()
    decoders = Gst.ElementFactory.list_get_elements(Gst.ELEMENT_FACTORY_TYPE_DECODER, Gst.Rank.NONE)
    return tuple(factory for factory in decoders if _decodes(factory) and "Hardware" in factory.get_metadata("klass"))


@cache
def _raise(factory: Any) -> None:
    factory.set_rank(factory.get_rank() + RAISED)


def _decodes(factory: Any) -> bool:
    parts = factory.get_metadata("klass").split("/") if factory else []
    return "Decoder" in parts and ("Video" in parts or "Image" in parts)


def _name(element: Any) -> str:
    factory = element.get_factory()
    return factory.get_name() if factory else ""


def _all(pipeline: Any) -> list[Any]:
    elements: list[Any] = []
    pipeline.iterate_recurse().foreach(elements.append)
    return elements
