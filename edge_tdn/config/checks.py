"""Checks of values that a type alone cannot express: URLs, topics, regions. No error message repeats a password."""

import re
from collections.abc import Sequence
from itertools import combinations
from urllib.parse import urlsplit

from edge_tdn.spelling import nearest_of_many

Region = tuple[float, float, float, float]  # left, top, width, height, in shares of the picture
Point = tuple[float, float]  # x and y, in shares of the picture
MIN_CORNERS = 3  # of a polygon
BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}  # scheme: default port
WEBSOCKET_PATH = "/mqtt"  # of a ws:// or wss:// URL without a path
NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https")
SOURCE_SCHEMES = (*NETWORK_SCHEMES, "file")
SOURCE_KINDS = (*SOURCE_SCHEMES, "gst", "demo", "credential")  # before the colon of a source that is not a path
TLS_URLS = ("rtsps://", "https://")
DEVICES = ("auto", "CPU", "GPU", "NPU", "CUDA")
NUMBERED_DEVICES = ("GPU", "NPU")  # of which there may be several
ROUNDING = 1e-6  # so that 0.9 + 0.1 is not above 1
HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+(%[\w.-]+)?")  # name or address; of IPv6 with a zone
PORT_RANGE = "the port is a number from 1 to 65535"


def check_broker_url(url: str) -> str:
    """Return `url`. Raises ValueError unless it is mqtt(s)://HOST[:PORT] or ws(s)://HOST[:PORT][/PATH]."""
    parts = urlsplit(url)
    known = parts.scheme in BROKER_PORTS and parts.hostname
    if not known or parts.username or parts.query or parts.fragment or re.search(r"[^!-~]", parts.path) or " " in url:
        raise ValueError(
            "allowed: mqtt://HOST[:PORT], mqtts://HOST[:PORT], ws://HOST[:PORT][/PATH] or wss://HOST[:PORT][/PATH]; "
            "user name and password have keys of their own"
        )
    if parts.path and not parts.scheme.startswith("ws"):
        raise ValueError(f"only ws:// and wss:// have a path; remove {parts.path!r}")
    try:
        str(parts.hostname).encode("idna")
    except UnicodeError:
        raise ValueError(f"{parts.hostname!r} is not a valid host name") from None
    if not _has_valid_port(url):
        raise ValueError(PORT_RANGE)
    return url


def normal_source(source: str) -> str:
    """Return `source` with its scheme in lower case: RTSP:// is rtsp://."""
    scheme, colon, rest = source.partition(":")
    return f"{scheme.lower()}:{rest}" if colon and scheme.lower() in SOURCE_KINDS else source


def check_source(source: str) -> str:
    """Return `source`, its scheme in lower case. Raises ValueError if it is a URL of a kind that no camera has."""
    source = normal_source(source)
    if "://" in source and not source.startswith("gst:"):
        check_camera_url(source, SOURCE_SCHEMES)
    return source


def check_camera_url(source: str, schemes: tuple[str, ...] = NETWORK_SCHEMES) -> None:
    """Raise ValueError unless `source` is a URL with one of `schemes`, a host, and a port in range if it has one."""
    scheme, separator, address = source.partition("://")
    kinds = ", ".join(f"{known}://" for known in schemes)
    if not separator:
        raise ValueError(f"not a URL; allowed: {kinds}")
    if scheme not in schemes:
        others = ", gst: PIPELINE, demo:" if "file" in schemes else ""
        raise ValueError(f"unknown kind of source {scheme}://; allowed: {'a path, ' if others else ''}{kinds}{others}")
    if scheme == "file":
        return
    if not re.match(r"[^/:?]", address.rpartition("@")[2]):
        raise ValueError(f"no host after {scheme}://")
    if not _has_valid_port(source):
        raise ValueError(f"{PORT_RANGE}; in a password, / # and ? are written %2F %23 and %3F")
    host = urlsplit(source).hostname or ""
    if not HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not a valid host name")


def check_camera_user(source: str, username: str) -> None:
    """Raise ValueError if `username` is set and `source` needs no user name, or already contains one."""
    if not username:
        return
    if not source.startswith(tuple(f"{scheme}://" for scheme in NETWORK_SCHEMES)):
        raise ValueError("username is for rtsp:// and http(s):// sources only")
    if "@" in urlsplit(source).netloc:
        raise ValueError("the URL already contains a user name; remove it there, or remove username and password_file")


def check_camera_tls(sources: Sequence[str], ca_file: str) -> None:
    """Raise ValueError if `ca_file` is set and every one of `sources` is known to be without TLS."""
    if ca_file and not any(source.startswith((*TLS_URLS, "credential:")) for source in sources):
        raise ValueError(f"source = {sources[0]!r} has no TLS; ca_file needs rtsps:// or https://")


def _has_valid_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def check_device(device: str) -> str:
    """Return `device` in its usual capitals. Raises ValueError if it is neither auto nor a kind of device."""
    kind, dot, number = device.partition(".")
    known = next((known for known in DEVICES if known.casefold() == kind.casefold()), "")
    if not known or (dot and (known not in NUMBERED_DEVICES or not number.isdecimal())):
        raise ValueError(f"unknown device; {nearest_of_many(device, DEVICES)}; a further GPU is GPU.1")
    return f"{known}{dot}{number}"


def check_topic(topic: str) -> str:
    """Return `topic`. Raises ValueError if it cannot be the prefix of a topic."""
    if re.search(r"[+#\x00-\x1f]|^/|/$|^\$|^\s+$", topic) or len(topic) > 200:
        raise ValueError("a topic without + # or control characters, not beginning or ending with /")
    return topic


def check_region(region: Region) -> Region:
    """Return `region`. Raises ValueError if it is empty or reaches beyond the picture."""
    left, top, width, height = region
    if not (width > 0 and height > 0 and max(left + width, top + height) <= 1 + ROUNDING):
        raise ValueError(
            "allowed: [left, top, width, height] from 0 to 1; width and height above 0, left + width and "
            "top + height at most 1"
        )
    return region


def check_polygon(corners: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return `corners`. Raises ValueError unless they enclose an area, and no two edges cross."""
    if not corners:
        return corners
    if len(corners) < MIN_CORNERS:
        raise ValueError(f"{len(corners)} corners; at least {MIN_CORNERS} are needed: [[x, y], [x, y], [x, y]]")
    check_distinct(corners, "the corner {!r} occurs twice; list each corner once")
    edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    for first, second in combinations(range(len(edges)), 2):
        neighbours = second - first in (1, len(edges) - 1)
        if not neighbours and _cross(*edges[first], *edges[second]):
            raise ValueError(
                f"the edge from {list(edges[first][0])} to {list(edges[first][1])} crosses the one from "
                f"{list(edges[second][0])} to {list(edges[second][1])}; list the corners in the order of the outline"
            )
    if abs(sum(_turn((0.0, 0.0), *edge) for edge in edges)) < ROUNDING:
        raise ValueError("all corners are on one line; a zone needs an area")
    return corners


def _turn(a: Point, b: Point, c: Point) -> float:
    """Return twice the area of a triangle: positive if it is listed clockwise, as the picture shows it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether the edges a-b and c-d meet."""
    apart = _turn(a, b, c) * _turn(a, b, d) > 0 or _turn(c, d, a) * _turn(c, d, b) > 0
    if apart:
        return False
    return all(  # on one line, they meet where their boxes do
        max(min(a[i], b[i]), min(c[i], d[i])) <= min(max(a[i], b[i]), max(c[i], d[i])) for i in (0, 1)
    )


def check_frozen_s(frozen_s: float) -> float:
    """Return `frozen_s`. Raises ValueError if it is neither 0 (never) nor at least a second."""
    if frozen_s != 0 and frozen_s < 1:
        raise ValueError("allowed: 0, or 1 to 600")
    return frozen_s


def check_distinct(names: Sequence[object], message: str) -> None:
    """Raise ValueError with `message`, in which {!r} is the first name that occurs twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(message.format(twice))
