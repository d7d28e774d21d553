"""The distances between one camera's clips, which show a host that is too slow."""

from collections import deque

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S

RECENT_HOPS = 20  # number of hops that are evaluated
MIN_LATE_HOPS = 3  # late ones among these: the host is too slow
LATE_SEGMENTS = 0.75  # segment lengths: a longer wait was for the runtime, not within a burst of the camera's frames


class Pace:
    """Decides from the last hops whether the host keeps up with one lane; a single late clip does not count.

    Belongs to the runtime thread; `trouble` may be read by any.
    """

    def __init__(self, hop: int, spec: InputSpec) -> None:
        self.trouble = ""  # what is wrong; empty while the host keeps up
        self._hop = hop
        self._segment_ns = NS_PER_S * spec.segment_s
        self._recent: deque[tuple[int, bool]] = deque(maxlen=RECENT_HOPS)  # segments; whether it was late

    def push(self, hop: int, waited_ns: int) -> None:
        """Count a clip that came `hop` segments after the previous one.

        `waited_ns`: how long the oldest segment of its turn had waited.
        """
        self._recent.append((hop, hop > self._hop and waited_ns > LATE_SEGMENTS * self._segment_ns))
        late = sum(late for _, late in self._recent)
        if late < (1 if self.trouble else MIN_LATE_HOPS):
            self.trouble = ""
            return
        mean = sum(hop for hop, _ in self._recent) / len(self._recent)
        self.trouble = f"host too slow: a clip every {round(mean, 1):g} segments instead of {self._hop}"

    def clear(self) -> None:
        """Start over: earlier hops do not predict those of a new run."""
        self._recent.clear()
        self.trouble = ""


class HopCounter:
    """Counts the segments from clip to clip: when the next clip is due, and by how much hops have grown.

    Belongs to the runtime thread; `achieved` and `grown` may be read by any.
    """

    def __init__(self, hop: int) -> None:
        self.achieved = 0  # segments between the last two clips
        self.grown = 0  # segments by which hops were longer than configured, without those that were dropped
        self._hop = hop
        self._since_clip = 0  # segments since the last clip, or since the run began
        self._skipped = 0  # of these, segments that were dropped while they waited
        self._classified = False  # this run has had a clip

    @property
    def due(self) -> bool:
        """Enough segments have come for the next clip."""
        return self._since_clip >= self._hop

    def toward_clip(self, segments: int) -> int:
        """Return how many of the next segments belong to the next clip's hop; the others would make the hop longer."""
        return min(segments, max(1, self._hop - self._since_clip))

    def segment(self) -> None:
        """Count a segment that was taken."""
        self._since_clip += 1

    def skip(self, segments: int) -> None:
        """Count segments that were dropped while they waited: the hop has grown by them."""
        self._since_clip += segments
        self._skipped += segments

    def clip(self) -> int | None:
        """Count a clip. Return the hop from the previous clip of this run; None if this is the first."""
        hop = self._since_clip if self._classified else None
        if hop is not None:
            self.achieved = hop
            self.grown += max(0, hop - self._skipped - self._hop)
        self._classified = True
        self._since_clip = self._skipped = 0
        return hop

    def begin_run(self) -> None:
        """Start over behind a break."""
        self._since_clip, self._skipped, self._classified = 0, 0, False
