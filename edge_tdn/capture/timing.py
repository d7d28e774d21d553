"""The time limits of one source. Seconds on the monotonic clock."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CaptureTiming:
    """When a connection has failed, and when the next one is tried."""

    first_frame_s: float = 15.0  # a new connection without a frame for this long has failed
    stall_s: float = 5.0  # a live source without a frame for this long has failed
    retry_min_s: float = 1.0  # wait after the first failed connection; also the shortest round of a looped file
    retry_max_s: float = 60.0
    retry_growth: float = 2.0  # factor from one wait to the next
    backoff_reset_s: float = 5.0  # a connection that lasted this long resets the back-off
    unauthorized_retry_s: float = 30.0  # first wait after a rejected password
    frozen_retry_min_s: float = 10.0  # a frozen camera is reconnected after this long, ...
    frozen_retry_max_s: float = 60.0  # ... then after twice as long each time, up to this
    max_frozen_doubt_s: float = 7.0  # after a reconnect, changes that an encoder may have caused are ignored this long
    port_probe_s: float = 2.0  # between two checks whether a closed port is open again
    first_port_probe_s: float = 0.5  # a dying camera closes its port a moment after its streams
    port_timeout_s: float = 1.0  # a port that does not answer within this counts as closed


DEFAULT_TIMING = CaptureTiming()
