"""The faults of a simulated camera, and their times. Pure."""

import re
from dataclasses import dataclass
from typing import Self

from edge_tdn.spelling import nearest

FLIPPED, LOST = 1 / 2000, 1 / 20  # share of the video's bytes, and of its packets
OK = "ok"
FAULTS = {
    "drop": "camera offline: clients are disconnected, new connections fail",
    "freeze": "the picture stays the same",
    "stall": "connected, but no packets",
    "password": "every password is rejected (401), clients are disconnected",
    "size": "pictures of half the width and height",
    "corrupt": f"one byte in {1 / FLIPPED:.0f} of the video is corrupted; not with mjpeg",
    "loss": f"one packet in {1 / LOST:.0f} is lost",
    "eos": "the stream ends cleanly; a client that reconnects gets a new one",
    "clock": "the times in the RTCP sender reports are 70 years behind",
    "redirect": "clients are redirected to the next camera; to the same one, without end, if it is the only one",
    "digest": "clients are asked for a Digest password with SHA-256, which most do not support",
    "ssrc": "the stream continues with another SSRC, as after a restart of the encoder",
    "jump": "the packets' sequence numbers and timestamps jump",
    "payload": "the packets get a payload type that the session description does not announce",
    "boundary": "MJPEG over HTTP without a boundary before its first picture; clients are disconnected",
}
HTTP = "http"  # codec of a camera that serves MJPEG over HTTP
PACKETS = {"corrupt", "loss", "clock", "ssrc", "jump", "payload"}  # faults of RTP
DISCONNECTING = {"drop", "password", "digest", "redirect", "boundary"}  # faults that a new connection meets


def possible(codec: str) -> list[str]:
    """Return the faults that a camera with this codec can have."""
    impossible = PACKETS if codec == HTTP else {"boundary"}
    if codec == "mjpeg":
        impossible = impossible | {"corrupt"}  # makes no valid packets
    return [fault for fault in FAULTS if fault not in impossible]


@dataclass(frozen=True)
class Planned:
    """A fault and its time, in seconds after the start."""

    fault: str  # of FAULTS
    at_s: float
    length_s: float = 0.0  # 0: until another fault replaces it
    every_s: float = 0.0  # from one beginning to the next; 0: once
    camera: str = ""  # empty: all

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `[CAMERA:]FAULT@SECOND[+SECONDS][/SECONDS]`. Raises ValueError with the reason."""
        number = r"(\d{1,7}(?:\.\d+)?)"
        found = re.fullmatch(rf"(?:(.+):)?(\w+)@{number}(?:\+{number})?(?:/{number})?", text, re.ASCII)
        if not found:
            raise ValueError(f"{text}: as in freeze@20, freeze@20+10, freeze@20+10/60 or yard:freeze@20+10")
        if found[2] not in FAULTS:
            raise ValueError(f"{text}: no fault {found[2]}; {nearest(found[2], FAULTS)}")
        planned = cls(found[2], float(found[3]), float(found[4] or 0), float(found[5] or 0), found[1] or "")
        if found[4] and not planned.length_s:
            raise ValueError(f"{text}: its length must be above 0 s")
        if found[5] and planned.every_s <= planned.length_s:
            raise ValueError(f"{text}: every {found[5]} s must be more than its length")
        return planned
