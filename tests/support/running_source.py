"""A `Source` on a thread of its own, as a camera of the daemon has it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

from edge_tdn.capture.source import Source
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.messages import Frame
from tests.support.waiting import PATIENCE_S, eventually

# No failure is due to a busy host: where a limit is what a test is about, the test sets it.
PATIENT_TIMING = replace(DEFAULT_TIMING, first_frame_s=100_000.0, stall_s=100_000.0)
# A stop takes a fraction of a second, also on a busy host; the libraries' own time-outs are longer than this.
PROMPT_S = 15.0


class RunningSource:
    """Collects the frames and states of one source.

    Its thread writes `frames`, `count`, `stream`, `states` and `error`; the test reads them.
    """

    def __init__(
        self,
        source: str | Path,
        decoder: str = "gstreamer",
        base: Path = Path(),
        timing: CaptureTiming = PATIENT_TIMING,
        keep: bool = True,
        **keys: object,
    ) -> None:
        """`keep`: keep the frames. `keys`: further keys of its [[camera]]."""
        camera = CameraConfig.model_validate({"name": "c", "source": str(source), "decoder": decoder, **keys})
        self.frames: list[Frame] = []
        self.count = self.stream = 0
        self.states: list[tuple[str, str]] = []  # state, reason
        self.error: SourceError | None = None
        self.stop = threading.Event()
        self.source = Source(camera, base, lambda state, reason: self.states.append((state, reason)), timing)
        self._keep = keep
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until the condition holds; a failure shows the states."""
        eventually(condition, timeout_s, lambda: self.states)

    def wait_for(self, state: str) -> str:
        """Wait for the first such state, and return its reason."""
        self.wait(lambda: any(entered == state for entered, _ in list(self.states)))
        return next(reason for entered, reason in self.states if entered == state)

    def end(self, timeout_s: float = PATIENCE_S) -> Self:
        """Wait until the source has ended."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"still running after {timeout_s:g} s; states: {self.states}"
        return self

    def close(self) -> None:
        self.stop.set()
        self.end()

    @property
    def state(self) -> str:
        """The last state; empty before the first, which its thread reports."""
        return self.states[-1][0] if self.states else ""

    def entered(self) -> list[str]:
        """Return all states so far, without their reasons."""
        return [state for state, _ in self.states]

    def _run(self) -> None:
        try:
            for frame in self.source.frames(self.stop):
                self.stream = frame.stream
                if self._keep:
                    self.frames.append(frame)
                self.count += 1  # last: tests wait for it, and then read the others
        except SourceError as error:
            self.error = error
