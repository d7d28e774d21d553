"""GStreamer, where it is installed. The only file that imports gi."""

import atexit
import ctypes
import logging
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from edge_tdn.errors import SourceError
from edge_tdn.process.passwords import without_password
from edge_tdn.shell import install_extra

log = logging.getLogger(__name__)

RTSP_SERVER = "gir1.2-gst-rtsp-server-1.0"  # Debian's package; not needed on a camera host
# The arguments of a GstLogFunction: category and level; file and function; line, object and message.
_CATEGORY = (ctypes.c_void_p, ctypes.c_int)
_PLACE = (ctypes.c_char_p, ctypes.c_char_p)
LOG_ARGUMENTS = (*_CATEGORY, *_PLACE, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
LogFunction = ctypes.CFUNCTYPE(None, *LOG_ARGUMENTS, ctypes.c_void_p)


STRUCTURES = (
    *("PadProbeInfo", "Event", "Buffer", "BufferList", "Caps", "Structure", "Sample", "Message", "Iterator", "Segment"),
    *("MapInfo", "ReferenceTimestampMeta"),
)
VIDEO_STRUCTURES = ("VideoInfo", "VideoFormatInfo", "VideoColorimetry", "VideoMeta")


class GStreamerMissing(SourceError):
    """Raised where GStreamer or its Python bindings are not installed."""


@cache
def load() -> tuple[Any, Any]:
    """Return the modules Gst and GstVideo, initialised. Raises GStreamerMissing, which names what to install."""
    # GStreamer loads libunwind with global symbols. If they were found before libgcc's, the C++ exceptions that
    # OpenVINO throws and catches internally would end the process.
    with suppress(OSError):  # without libgcc there is no conflict
        ctypes.CDLL("libgcc_s.so.1", ctypes.RTLD_GLOBAL)
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        gi.require_version("GstVideo", "1.0")
        from gi.repository import Gst, GstApp, GstVideo  # noqa: F401  (GstApp registers appsink's methods)
    except (ImportError, ValueError) as error:
        raise GStreamerMissing(f"GStreamer is not installed ({error}); {how_to_install()}") from error
    with _once:
        ready, _ = Gst.init_check(None)
        # PyGObject makes a class when it is first used. Two threads that do so at once, of streams or of cameras, get
        # two of the same name, and a method gets an argument of the one while it expects the other.
        _ = [getattr(Gst, name) for name in STRUCTURES] + [getattr(GstVideo, name) for name in VIDEO_STRUCTURES]
    if not ready:
        raise GStreamerMissing(f"GStreamer cannot be initialised; {how_to_install()}")
    if os.environ.get("GST_DEBUG"):
        _log_debug_output(Gst)
    return Gst, GstVideo


def load_rtsp_server() -> tuple[Any, Any]:
    """Return the modules GLib and GstRtspServer. Raises GStreamerMissing, which names what to install."""
    load()
    try:
        import gi

        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, GstRtspServer
    except (ImportError, ValueError) as error:
        reason = f"GStreamer's RTSP server is not installed ({error})"
        raise GStreamerMissing(f"{reason}; Debian: apt-get install {RTSP_SERVER}") from error
    return GLib, GstRtspServer


def load_rtsp() -> Any:
    """Return the module GstRtsp, whose messages rtspsrc passes to its listeners."""
    load()
    import gi

    gi.require_version("GstRtsp", "1.0")
    from gi.repository import GstRtsp

    return GstRtsp


def tls_certificate(cert: Path, key: Path) -> Any:
    """Return a server's certificate and its key, of PEM files. Raises SourceError."""
    load()
    from gi.repository import Gio

    try:
        return Gio.TlsCertificate.new_from_files(str(cert), str(key))
    except Exception as error:  # GLib.Error, whose class only gi knows
        raise SourceError(
            f"{cert}, {key}: not a certificate and its key: {getattr(error, 'message', error)}"
        ) from error


def tls_database(ca: Path) -> Any:
    """Return a GTlsDatabase that trusts the certificates in a PEM file: authorities, and servers of any name.

    Raises SourceError.
    """
    load()
    try:
        return _trusted_certificates()(ca)
    except Exception as error:  # GLib.Error, whose class only gi knows: damaged, or glib-networking is not installed
        raise SourceError(f"{ca}: GStreamer cannot use it: {getattr(error, 'message', error)}") from error


@cache
def _trusted_certificates() -> type:
    from gi.repository import Gio

    class TrustedCertificates(Gio.TlsDatabase):  # type: ignore[misc]
        """Verifies certificates on GStreamer's threads. A camera's own certificate seldom has the camera's address."""

        def __init__(self, ca: Path) -> None:
            super().__init__()
            self._authorities = Gio.TlsFileDatabase.new(str(ca))
            self._own = Gio.TlsCertificate.list_new_from_file(str(ca))

        def do_verify_chain(self, chain: Any, purpose: str, identity: Any, *rest: Any) -> Any:
            found = self._authorities.verify_chain(chain, purpose, identity, *rest)
            if any(chain.is_same(own) for own in self._own):
                found &= ~Gio.TlsCertificateFlags.BAD_IDENTITY
            return Gio.TlsCertificateFlags(found)

    return TrustedCertificates


def how_to_install() -> str:
    """Return what the user has to do where GStreamer or its bindings are missing."""
    return f"install GStreamer (in a checkout: `make packages`), then its bindings: `{install_extra('gstreamer')}`"


def available() -> bool:
    """Return True if GStreamer can be used."""
    try:
        load()
    except GStreamerMissing:
        return False
    return True


def version() -> str:
    """Return the version, as in `GStreamer 1.22.0`. Raises GStreamerMissing."""
    Gst, _ = load()
    version: str = Gst.version_string()
    return version


def has(element: str) -> bool:
    """Return True if an element of this name is installed. Raises GStreamerMissing."""
    Gst, _ = load()
    return Gst.ElementFactory.find(element) is not None


def decoders(media: str) -> list[str]:
    """Return the elements that decode `media`, such as video/x-h264, best first. Raises GStreamerMissing."""
    Gst, _ = load()
    known = Gst.ElementFactory.list_get_elements(Gst.ELEMENT_FACTORY_TYPE_DECODER, Gst.Rank.MARGINAL)
    found = Gst.ElementFactory.list_filter(known, Gst.Caps.from_string(media), Gst.PadDirection.SINK, False)
    return [factory.get_name() for factory in sorted(found, key=lambda factory: -factory.get_rank())]


def _log_debug_output(Gst: Any) -> None:
    """Redirect the output of GST_DEBUG from stderr to our log, which hides the passwords in it.

    Written with ctypes, because PyGObject would keep objects that are being freed.
    """
    try:
        library = ctypes.CDLL("libgstreamer-1.0.so.0")
        line_of = library.gst_debug_log_get_line  # since 1.18
    except (OSError, AttributeError):
        Gst.debug_set_active(False)
        log.warning("GST_DEBUG is ignored: passwords cannot be hidden with this version of GStreamer")
        return
    line_of.restype, line_of.argtypes = ctypes.c_void_p, LOG_ARGUMENTS
    levels = {int(Gst.DebugLevel.ERROR): logging.ERROR, int(Gst.DebugLevel.WARNING): logging.WARNING}
    log.setLevel(logging.DEBUG)

    def write(category: int, level: int, *rest: Any) -> None:
        line = line_of(category, level, *rest[:-1])
        text = ctypes.string_at(line).decode(errors="replace").strip()
        library.g_free(ctypes.c_void_p(line))
        if log.hasHandlers():
            log.log(levels.get(level, logging.DEBUG), "%s", text)
        else:  # a program without a log
            sys.stderr.write(f"{without_password(text)}\n")

    function = LogFunction(write)
    if library.gst_debug_remove_log_function(None):  # GStreamer's own; once
        library.gst_debug_add_log_function(function, None, None)
        atexit.register(library.gst_debug_remove_log_function, function)  # before Python ends


_once = threading.Lock()
