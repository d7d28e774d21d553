"""Which of GStreamer's elements decodes a camera's video: hardware where it works, else software.

A hardware decoder (VA-API, V4L2, NVDEC) is registered only where GStreamer finds its device, and decodebin skips one
that does not open. That leaves two tasks: to rank hardware above software, and to skip a decoder that opened and then
gave an error, or no frame.
"""

import logging
import time
from collections import defaultdict
from functools import cache
from typing import Any

from edge_tdn.media import gstreamer

HARDWARE_RANK = 1024  # added to a hardware decoder's rank: more than any software decoder has
RETRY_HARDWARE_S = 3600.0  # hardware that failed is skipped for this long: the camera may have been the cause
TRY, SKIP = 0, 2  # GstAutoplugSelectResult, which only decodebin's plugin defines

log = logging.getLogger(__name__)
_skipped: defaultdict[str, dict[str, float]] = defaultdict(dict)  # camera -> element -> monotonic s until it is skipped


class Decoders:
    """The decoders of one connection. Hardware is for sources that are retried: not for files.

    Owners: GStreamer's threads add to `_chosen` while the pipeline starts; the thread that reads the capture reads it.
    """

    def __init__(self, camera: str, pipeline: Any, use_hardware: bool) -> None:
        # The pipeline itself is not kept: it holds its listeners, and neither would ever be freed.
        self._camera, self._use_hardware = camera, use_hardware
        self._chosen: set[str] = set()  # hardware offered to decodebin; not what a gst: description names
        for factory in hardware():
            _raise_rank(factory)
        for element in elements(pipeline):
            if _name(element) in ("decodebin", "uridecodebin"):
                element.connect("autoplug-select", self._select)

    def blame(self, element: Any) -> None:
        """Record an error of this element."""
        self._fail({_name(element)} & self._chosen)

    def fruitless(self, pipeline: Any) -> None:
        """Record that the connection ended without a frame."""
        used = {_name(element) for element in elements(pipeline)} & self._chosen
        if used:
            self._fail(used)
        elif decoder(pipeline):  # software did no better: the camera is the cause
            _skipped[self._camera].clear()

    def _select(self, _bin: Any, _pad: Any, _caps: Any, factory: Any) -> int:
        """Decide whether this element may decode. Called on a thread of GStreamer's."""
        if factory not in hardware():
            return TRY
        name = factory.get_name()
        if not self._use_hardware or time.monotonic() < _skipped[self._camera].get(name, 0.0):
            return SKIP
        self._chosen.add(name)
        return TRY

    def _fail(self, names: set[str]) -> None:
        now = time.monotonic()
        for name in names:
            if now >= _skipped[self._camera].get(name, 0.0):
                _skipped[self._camera][name] = now + RETRY_HARDWARE_S
                log.warning("camera=%s decoder=%s failed; software is next", self._camera, name)


def decoder(pipeline: Any) -> str:
    """Return the name of the element that decodes; empty for raw video."""
    return next((_name(element) for element in elements(pipeline) if decodes(element.get_factory())), "")


@cache
def hardware() -> tuple[Any, ...]:
    """Return the factories of this machine's hardware decoders."""
    Gst, _ = gstreamer.load()
    decoders = Gst.ElementFactory.list_get_elements(Gst.ELEMENT_FACTORY_TYPE_DECODER, Gst.Rank.NONE)
    return tuple(factory for factory in decoders if decodes(factory) and "Hardware" in factory.get_metadata("klass"))


def decodes(factory: Any) -> bool:
    """Return True if a factory's elements decode video or images. None is a bin without a factory."""
    parts = factory.get_metadata("klass").split("/") if factory else []
    return "Decoder" in parts and ("Video" in parts or "Image" in parts)


def elements(pipeline: Any) -> list[Any]:
    """Return all elements of a pipeline and of the bins within it."""
    found: list[Any] = []
    pipeline.iterate_recurse().foreach(found.append)
    return found


@cache
def _raise_rank(factory: Any) -> None:
    factory.set_rank(factory.get_rank() + HARDWARE_RANK)


def _name(element: Any) -> str:
    factory = element.get_factory() if element else None
    return factory.get_name() if factory else ""
