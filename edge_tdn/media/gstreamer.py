"""GStreamer, where it is installed. The only file that imports gi."""

import atexit
import ctypes
import logging
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from typing import Any

from edge_tdn.errors import SourceError
from edge_tdn.process.passwords import without_password

log = logging.getLogger(__name__)

HOW_TO_INSTALL = "install GStreamer (Debian: see `make packages`) and `pip install edge-tdn[gstreamer]`"
RTSP_SERVER = "gir1.2-gst-rtsp-server-1.0"  # Debian's package; a camera host does without
WHAT = (  # a GstLogFunction is told: category, level, file, function, line, object, message
    ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
)  # fmt: skip
LogFunction = ctypes.CFUNCTYPE(None, *WHAT, ctypes.c_void_p)


class Missing(SourceError):
    """GStreamer or its Python bindings are not on this machine."""


@cache
def load() -> tuple[Any, Any]:
    """The modules Gst and GstVideo, initialised. Missing: says what to install."""
    # GStreamer loads libunwind for all to see. Were it found before libgcc, the C++ exceptions that OpenVINO throws and
    # catches within itself would end the process.
    with suppress(OSError):  # no libgcc here, no clash
        ctypes.CDLL("libgcc_s.so.1", ctypes.RTLD_GLOBAL)
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        gi.require_version("GstVideo", "1.0")
        from gi.repository import Gst, GstApp, GstVideo  # noqa: F401  (GstApp registers appsink's methods)
    except (ImportError, ValueError) as error:
        raise Missing(f"GStreamer is not here ({error}); {HOW_TO_INSTALL}") from error
    with _once:
        ready, _ = Gst.init_check(None)
    if not ready:
        raise Missing(f"GStreamer does not start; {HOW_TO_INSTALL}")
    if os.environ.get("GST_DEBUG"):
        _debug_through_the_log(Gst)
    return Gst, GstVideo


def load_rtsp_server() -> tuple[Any, Any]:
    """The modules GLib and GstRtspServer, for whoever serves pictures. Missing: says what to install."""
    load()
    try:
        import gi

        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, GstRtspServer
    except (ImportError, ValueError) as error:
        raise Missing(
            f"GStreamer's RTSP server is not here ({error}); Debian: apt-get install {RTSP_SERVER}"
        ) from error
    return GLib, GstRtspServer


def available() -> bool:
    try:
        load()
    except Missing:
        return False
    return True


def version() -> str:
    """`GStreamer 1.22.0`. Missing: it is not here."""
    Gst, _ = load()
    told: str = Gst.version_string()
    return told


def has(element: str) -> bool:
    """Whether an element of this name is installed. Missing: GStreamer is not here."""
    Gst, _ = load()
    return Gst.ElementFactory.find(element) is not None


def decoders(media: str) -> list[str]:
    """The elements that decode `media`, such as video/x-h264; decodebin takes the first. Missing: not here."""
    Gst, _ = load()
    known = Gst.ElementFactory.list_get_elements(Gst.ELEMENT_FACTORY_TYPE_DECODER, Gst.Rank.MARGINAL)
    found = Gst.ElementFactory.list_filter(known, Gst.Caps.from_string(media), Gst.PadDirection.SINK, False)
    return [factory.get_name() for factory in sorted(found, key=lambda factory: -factory.get_rank())]


def _debug_through_the_log(Gst: Any) -> None:
    """What GST_DEBUG asks for has passwords in it, and goes to stderr past our log, which hides them.

    In C, because PyGObject would hold objects that are just being freed.
    """
    try:
        library = ctypes.CDLL("libgstreamer-1.0.so.0")
        line_of = library.gst_debug_log_get_line  # since 1.18
    except (OSError, AttributeError):
        Gst.debug_set_active(False)
        log.warning("GST_DEBUG is not heard: this GStreamer would tell passwords")
        return
    line_of.restype, line_of.argtypes = ctypes.c_void_p, WHAT
    levels = {int(Gst.DebugLevel.ERROR): logging.ERROR, int(Gst.DebugLevel.WARNING): logging.WARNING}
    log.setLevel(logging.DEBUG)

    def tell(category: int, level: int, *what: Any) -> None:
        line = line_of(category, level, *what[:-1])
        text = ctypes.string_at(line).decode(errors="replace").strip()
        library.g_free(ctypes.c_void_p(line))
        if log.hasHandlers():
            log.log(levels.get(level, logging.DEBUG), "%s", text)
        else:  # a program that has set up no log
            sys.stderr.write(f"{without_password(text)}\n")

    told = LogFunction(tell)
    if library.gst_debug_remove_log_function(None):  # GStreamer's own; once
        library.gst_debug_add_log_function(told, None, None)
        atexit.register(library.gst_debug_remove_log_function, told)  # before Python is gone


_once = threading.Lock()
