"""One time line for all connections of a camera. Pure: time arrives in the scores."""

from edge_tdn.messages import Scores


class StreamClock:
    """The presentation time of the newest clip, in nanoseconds, on a time line that never restarts.

    Within a run of the stream the clock advances with the presentation timestamps, which are 0 again after a reconnect.
    Over a break it advances by the monotonic time that passed between the arrivals of the clips before and after.
    Owned by the runtime thread.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._shift_ns = 0  # now_ns - presentation timestamp, in this run of the stream
        self._newest: Scores | None = None
        self._broken = True  # the next clip begins a run

    @property
    def newest(self) -> Scores:
        """The newest clip's scores."""
        assert self._newest is not None, "no clip was scored yet"
        return self._newest

    def advance(self, scores: Scores) -> None:
        """Advance to the end of the newest clip."""
        if self._broken and self._newest is not None:
            passed_ns = max(0, scores.received_ns - self._newest.received_ns)
            self._shift_ns = self.now_ns + passed_ns - scores.to_ns
        self._broken = False
        self._newest = scores
        self.now_ns = scores.to_ns + self._shift_ns

    def break_off(self) -> None:
        """Mark a break: the next clip begins a run of the stream."""
        self._broken = True
