"""Feeds a film into the stream that is being watched: one frame a tick, or what the fault requires."""

import threading
import time
from collections.abc import Callable
from typing import Any

from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_S
from edge_tdn.simulator.faults import OK
from edge_tdn.simulator.film import Film

APPSRC = "film"  # name of a stream's first element
INPUT = f"appsrc name={APPSRC} is-live=true format=time leaky-type=upstream max-buffers=4"
MAX_LATE_S = 0.5  # a feed that is later than this skips frames


class FilmFeed:
    """Plays a film into one stream after the other, on a thread of its own, while there is one.

    Owners: `_elements` and `_stop` are guarded by `_changed`; `fault` is written by the camera and read by the thread;
    the film's position belongs to the thread. `report` is called there if the film fails.
    """

    def __init__(self, name: str, film: Film, report: Callable[[str], None]) -> None:
        self.fault = OK
        self._film, self._report = film, report
        self._elements: Any = None  # of the stream; None while no client watches
        self._stop = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"film {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def elements(self) -> Any:
        """The elements of the stream; None while no client watches."""
        return self._elements

    def attach(self, elements: Any) -> None:
        """Play into this stream from now on."""
        with self._changed:
            self._elements = elements
            self._changed.notify_all()

    def detach(self, elements: Any) -> None:
        """Stop playing into this stream."""
        with self._changed:
            if self._elements is elements:
                self._elements = None

    def end_stream(self) -> None:
        """End the stream as a camera does that stops in good order."""
        with self._changed:
            elements, self._elements = self._elements, None
        if elements:
            elements.get_by_name(APPSRC).end_of_stream()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            sample = self._film.next()
            while not self._stop:
                with self._changed:
                    self._changed.wait_for(lambda: self._elements is not None or self._stop)
                    elements = self._elements
                if elements is not None:
                    sample = self._play(elements, sample)
        except SourceError as error:
            self._report(str(error))

    def _play(self, elements: Any, sample: Any) -> Any:
        """Feed one stream from this sample on until it is detached, and return the film's sample at its end."""
        source, caps, rate = elements.get_by_name(APPSRC), None, self._film.rate
        began_s, number = time.monotonic(), 0
        while self._elements is elements and not self._stop:
            if self.fault != "stall":
                if caps is None or not sample.get_caps().is_equal(caps):
                    caps = sample.get_caps()
                    source.set_property("caps", caps)
                buffer = sample.get_buffer().copy()
                buffer.pts, buffer.duration = number * NS_PER_S // rate, NS_PER_S // rate
                source.emit("push-buffer", buffer)
            number += 1
            wait_s = began_s + number / rate - time.monotonic()
            if wait_s < -MAX_LATE_S:
                number -= int(wait_s * rate)
            time.sleep(max(0.0, wait_s))
            if self.fault != "freeze":
                sample = self._film.next()
        return sample
