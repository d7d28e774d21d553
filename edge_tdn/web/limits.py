"""The limits of the page: how much it serves at once, and for how long it waits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HttpLimits:
    """Numbers, bytes and seconds."""

    connections: int = 32  # at once, those that have sent nothing yet included
    streams: int = 16  # of /api/stream, at once
    request_s: float = 10.0  # from the first byte of a request to its last
    keep_alive_s: float = 15.0  # between two requests of a connection
    handshake_s: float = 5.0  # of TLS
    write_s: float = 30.0  # for a client that takes nothing of an answer
    stop_s: float = 0.2  # at the end, for answers that have begun
    body_bytes: int = 4096
    target_bytes: int = 2048  # path and query
    head_bytes: int = 16_384  # the lines before the body
    logins: int = 5  # wrong ones, of all clients together, within `logins_s`
    logins_s: float = 60.0
    event_queries: int = 4  # a second
    picture_age_s: float = 0.4  # within which one picture serves all who ask
    picture_wait_s: float = 2.0  # for the next frame of a camera
    reply_s: float = 10.0  # for an answer of another thread, whose disk may be busy


DEFAULT_HTTP_LIMITS = HttpLimits()
