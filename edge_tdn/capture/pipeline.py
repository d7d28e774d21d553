"""The GStreamer pipeline of a source: any source, decoded, into a bounded appsink as YUV 4:2:0."""

from typing import Any

from edge_tdn.capture.address import Address
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer

BUFFERS = 2  # frames that wait in the appsink; of a camera the oldest is dropped, a file waits
# Each element passes its input through where there is nothing to do: most decoders deliver one of these formats, pixels
# are square, and the file does not ask to be rotated, as a telephone's does.
TO_420 = (
    "videoconvert ! videoscale ! videoflip video-direction=auto "
    "! video/x-raw,format=(string){I420,NV12},pixel-aspect-ratio=1/1"
)
LATENCY_MS = 200  # how long RTP packets wait for those before them
HTTP_TIMEOUT_S = 10
SOURCE, DECODEBIN, SINK = "src", "decode", "sink"  # names of the elements
APPSINK = f"appsink name={SINK} max-buffers={BUFFERS}"


def parse(address: Address, camera: CameraConfig) -> Any:
    """Return the pipeline of a source, not yet started.

    Raises SourceError if the description of a `gst:` source is wrong, with the parser's message, or if pictures would
    not be protected by TLS.
    """
    Gst, _ = gstreamer.load()
    description, properties = _describe(address, camera)
    try:
        pipeline = Gst.parse_launch(description)
    except Exception as error:  # GLib.Error, whose class only gi knows; as a cause it would reveal the password
        raise SourceError(address.message(str(getattr(error, "message", error))), "ended") from None
    for name, value in properties.items():
        pipeline.get_by_name(SOURCE).set_property(name, value)
    secured = source_element(pipeline, address)
    if secured and address.ca and secured.find_property("tls-database"):
        secured.set_property("tls-database", gstreamer.tls_database(address.ca))
    source = pipeline.get_by_name(SOURCE)
    if source and source.find_property("add-reference-timestamp-meta"):  # since GStreamer 1.22
        source.set_property("add-reference-timestamp-meta", True)
    return pipeline


def source_element(pipeline: Any, address: Address) -> Any | None:
    """Return the source element of a pipeline of `parse`; None for a `gst:` source, which may have any elements."""
    return None if address.location.startswith("gst:") else pipeline.get_by_name(SOURCE)


def decodebin(pipeline: Any, address: Address) -> Any | None:
    """Return the decodebin of a pipeline of `parse`; None for a `gst:` source."""
    return None if address.location.startswith("gst:") else pipeline.get_by_name(DECODEBIN)


def expect_one_stream(_pipeline: Any, _bin: Any, element: Any) -> None:
    """Configure a new element. MJPEG over HTTP lists no streams: decodebin would wait for 2 MB before the first."""
    if element.get_factory().get_name() == "multipartdemux":
        element.set_property("single-stream", True)


def skip_empty_edits(_pipeline: Any, _bin: Any, element: Any) -> None:
    """Configure a new element, if it is the demuxer of an MP4 file.

    Where the video begins later than the sound, as in many trimmed files, the demuxer sends a gap before the first
    frame. A decoder that has not seen a frame yet would then drop all frames after the length of the gap.
    """
    if element.get_factory().get_name() == "qtdemux":
        element.connect("pad-added", _without_gaps)


def _without_gaps(_demuxer: Any, pad: Any) -> None:
    Gst, _ = gstreamer.load()

    def pass_or_drop(_pad: Any, info: Any) -> Any:
        return Gst.PadProbeReturn.DROP if info.get_event().type == Gst.EventType.GAP else Gst.PadProbeReturn.OK

    pad.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, pass_or_drop)


def decode_on_one_thread(_pipeline: Any, _bin: Any, element: Any) -> None:
    """Configure a new element as GStreamer does for live sources: passing frames to other threads costs more."""
    if element.find_property("max-threads"):
        element.set_property("max-threads", 1)


def _describe(address: Address, camera: CameraConfig) -> tuple[str, dict[str, str]]:
    """Return the pipeline, and the properties to set on its source element.

    They are not part of the description, so no path needs quoting, and GStreamer logs no password.
    """
    location = address.location
    if location.startswith("gst:"):
        return f"{location.removeprefix('gst:').strip()} ! {TO_420} ! {APPSINK}", {}
    rest = f"decodebin name={DECODEBIN} ! {TO_420} ! {APPSINK}"
    if location.startswith("/dev/"):
        return f"v4l2src name={SOURCE} ! {rest}", {"device": location}
    properties = {"location": location}
    if address.username:
        properties |= {"user-id": address.username, "user-pw": address.password}
    if location.startswith("rtsps") and camera.transport != "tcp":
        reason = f'transport = "{camera.transport}" would send the pictures of rtsps:// in plain text; set it to "tcp"'
        raise SourceError(address.message(reason), "ended")
    if location.startswith("rtsp"):
        options = f"protocols={camera.transport} latency={LATENCY_MS}"
        source = f"rtspsrc name={SOURCE} {options} ! application/x-rtp,media=video"
    elif location.startswith("http"):
        source = f"souphttpsrc name={SOURCE} timeout={HTTP_TIMEOUT_S} do-timestamp=true automatic-redirect=false"
    else:
        source = f"filesrc name={SOURCE}"
    return f"{source} ! {rest}", properties
