"""A runtime that is opened again when it fails, with what the cameras' windows hold: no camera loses its clip by it.

    ok ──a call fails──► rebuilding ──opened, and the windows encoded again──► ok
     └─memory ran out, failed again within `renewed_s`, or cannot be opened──► an error, which ends the thread

The scheduler, the lanes and a successor use it like any other runtime.
"""

import logging
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import DeviceError, EdgeTdnError, last_line, with_type
from edge_tdn.inference.runtime import Ring, Runtime, is_out_of_memory
from edge_tdn.messages import RuntimeState, iso
from edge_tdn.process import heartbeat
from edge_tdn.status_messages import RuntimeStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RebuildTiming:
    """Time limits of a rebuild, seconds."""

    compile_s: float = 600.0  # for opening the runtime: on a GPU it may take minutes
    renewed_s: float = 600.0  # a runtime that has served so long since its rebuild may be rebuilt once more


class RebuildingRuntime:
    """Serves with the runtime that `open_runtime` returns, and with another one of it after a failure.

    A segment's frames have to exist as long as a window holds them: only then they can be encoded again.

    Used by one thread at a time, but for `status`, which is replaced as one value and may be read by any. `segments`:
    T. `changed`: called on the using thread after `status` has changed. Raises what `open_runtime` raises.
    """

    def __init__(
        self,
        open_runtime: Callable[[], Runtime],
        segments: int,
        timing: RebuildTiming = RebuildTiming(),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._open, self._segments, self._timing, self._changed = open_runtime, segments, timing, changed
        self._rings: WeakSet[RememberingRing] = WeakSet()
        self._rebuilt_s = float("-inf")  # monotonic
        self._runtime: Runtime | None = None
        self.status = RuntimeStatus(state="ok", reason="", since=iso(time.time_ns()))
        self._use(open_runtime())

    def ring(self) -> "RememberingRing":
        ring = RememberingRing(self._opened.ring(), self._segments)
        self._rings.add(ring)
        return ring

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        for frames, ring in zip(segments, own := _own(rings), strict=True):
            ring.remember(frames)
        try:
            self._opened.encode(segments, [ring.inner for ring in own])
        except Exception as error:  # libraries and drivers raise anything
            self._rebuild(error)  # encodes these segments, too

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        own = _own(rings)
        while True:
            try:
                return self._opened.classify([ring.inner for ring in own])
            except Exception as error:  # libraries and drivers raise anything
                self._rebuild(error)  # a second time it raises

    def close(self) -> None:
        """Close the runtime, if it is open. A device that has failed may fail at this, too, which ends nothing."""
        runtime, self._runtime = self._runtime, None
        try:
            if runtime is not None:
                runtime.close()
        except Exception as error:
            log.debug("closing the runtime failed", exc_info=error)

    def report(self, state: RuntimeState, reason: str) -> None:
        """Replace the status."""
        rebuilds = self.status.rebuilds + (state == "rebuilding")
        self.status = RuntimeStatus(state=state, reason=reason, since=iso(time.time_ns()), rebuilds=rebuilds)
        self._changed()

    def _use(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.device, self.precision, self.batch = runtime.device, runtime.precision, runtime.batch

    @property
    def _opened(self) -> Runtime:
        assert self._runtime is not None, "closed"
        return self._runtime

    def _rebuild(self, error: Exception) -> None:
        """Open the runtime again, and encode the windows of all cameras. Raise `error` if memory has run out.

        EdgeTdnError: it cannot be opened, or has failed again too soon.
        """
        if _is_out_of_memory(error):
            raise error
        reason, began_s = with_type(error), time.monotonic()
        if began_s < self._rebuilt_s + self._timing.renewed_s:
            served = f"{began_s - self._rebuilt_s:.0f} s after the model was compiled again"
            raise EdgeTdnError(f"{reason}, {served}; check the device and its driver, the log says where") from error
        log.error("runtime failed: %s; the model is compiled again", reason)
        log.debug("runtime failed", exc_info=error)
        self.report("rebuilding", f"runtime failed: {reason}")
        with heartbeat.patience(self._timing.compile_s):
            self.close()
            try:
                self._use(self._open())
                for ring in list(self._rings):
                    self._restore(ring)
            except Exception as again:
                if _is_out_of_memory(again):
                    raise
                raise EdgeTdnError(f"{reason}; compiled again, it fails: {last_line(again)}") from again
        self._rebuilt_s = time.monotonic()
        self.report("ok", "")
        log.warning("runtime serves again after %.1f s, no action was cut off", self._rebuilt_s - began_s)

    def _restore(self, ring: "RememberingRing") -> None:
        ring.inner = self._opened.ring()
        for frames in ring.remembered:
            self._opened.encode([frames], [ring.inner])


class RememberingRing:
    """A ring that refers to the segments in it, so that another runtime can encode them again.

    Those that no window holds any more have been freed: a still scene has passed them, and its window is encoded as a
    whole before it is classified.
    """

    def __init__(self, inner: Ring, segments: int) -> None:
        self.inner = inner
        self._segments = segments
        self._count = 0  # segments since the last clear
        self._frames: deque[weakref.ref[NDArray[np.uint8]]] = deque(maxlen=segments)

    @property
    def full(self) -> bool:
        return self._count >= self._segments

    @property
    def remembered(self) -> list[NDArray[np.uint8]]:
        """The frames of the last T segments that still exist, oldest first."""
        return [frames for one in self._frames if (frames := one()) is not None]

    def remember(self, frames: NDArray[np.uint8]) -> None:
        """Count a segment that is about to be encoded."""
        self._frames.append(weakref.ref(frames))
        self._count += 1

    def clear(self) -> None:
        self.inner.clear()
        self._frames.clear()
        self._count = 0

    def newest(self) -> dict[str, NDArray[np.float32]]:
        return self.inner.newest()


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, DeviceError) or is_out_of_memory(error)


def _own(rings: Sequence[Ring]) -> list[RememberingRing]:
    own = []
    for ring in rings:
        assert isinstance(ring, RememberingRing)
        own.append(ring)
    return own
