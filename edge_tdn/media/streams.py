"""Which streams GStreamer's decodebin finds: a file without video is recognised from them, not from a time limit."""

from typing import Any

DECODED_VIDEO = "video/"  # prefix of the media type on a decodebin's pad


class StreamWatch:
    """Watches one decodebin from before it starts.

    Owners: GStreamer's streaming threads write, the thread that reads the pipeline reads. The pipeline itself is not
    kept: it holds its listeners, and neither would ever be freed.
    """

    def __init__(self, decodebin: Any) -> None:
        self._complete = False  # decodebin has exposed every stream of the file
        self._video = False  # one of them is video
        decodebin.connect("pad-added", self._pad_added)
        decodebin.connect("no-more-pads", self._no_more_pads)

    @property
    def without_video(self) -> bool:
        """Return True once it is certain that no stream is video."""
        return self._complete and not self._video

    def _pad_added(self, _decodebin: Any, pad: Any) -> None:
        caps = pad.get_current_caps() or pad.query_caps(None)
        if caps.is_any() or caps.is_empty() or caps.get_structure(0).get_name().startswith(DECODED_VIDEO):
            self._video = True  # or may be

    def _no_more_pads(self, _decodebin: Any) -> None:
        self._complete = True
