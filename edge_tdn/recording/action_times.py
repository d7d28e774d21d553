"""Where in a camera's stream the snapshot and the clip of an action lie. Pure: no clock, no I/O."""

from dataclasses import dataclass
from datetime import datetime

from edge_tdn.config.record_table import RecordConfig
from edge_tdn.messages import NS_PER_MS, NS_PER_S, ActionEvent, Scores
from edge_tdn.recording.action_recorder import RecordedZone

MAX_APART_NS = NS_PER_S // 4  # from a frame of the main stream to the moment that it is to show


@dataclass(frozen=True)
class ActionTimes:
    """Maps events and scores to presentation timestamps (PTS) of the recorded stream."""

    centre_ns: int  # from a clip's first tick to the centre frame of its middle segment
    pre_roll_ns: int
    post_roll_ns: int
    kept_s: float  # how long frames have to be kept
    main_stream: bool  # the recorded frames are those of main_stream.py: their PTS are on the host's monotonic clock

    @classmethod
    def of(cls, zone: RecordedZone, record: RecordConfig, late_s: float, main_stream: bool = False) -> "ActionTimes":
        """Return those of one zone. `late_s`: how long after its last frame an event may come."""
        spec = zone.spec
        centre = spec.segments // 2 * spec.segment_stride + spec.span // 2  # ticks
        return cls(
            centre_ns=round(centre * NS_PER_S / spec.frame_rate),
            pre_roll_ns=round(record.pre_roll_s * NS_PER_S),
            post_roll_ns=round(record.post_roll_s * NS_PER_S),
            kept_s=_needed_s(centre, zone, record) + late_s,
            main_stream=main_stream,
        )

    def snapshot(self, scores: Scores) -> tuple[int, tuple[int, int]]:
        """Return the PTS that a snapshot shows, and the first and the last one that will do."""
        centre_ns = scores.from_ns + self.centre_ns + self._shift_ns(scores)
        if self.main_stream:  # whose frames of the clip's end may not have come yet
            return centre_ns, (centre_ns - MAX_APART_NS, centre_ns + MAX_APART_NS)
        return centre_ns, (scores.from_ns, scores.to_ns)

    def clip_start_ns(self, event: ActionEvent, scores: Scores) -> int:
        """Return the PTS that a clip starts at: before the action, as far as frames are kept."""
        oldest_ns = scores.to_ns - int(self.kept_s * NS_PER_S)
        from_ns = max(_start_ns(event, scores) - self.pre_roll_ns, oldest_ns)  # the wall clock may have jumped
        return from_ns + self._shift_ns(scores)

    def clip_end_ns(self, event: ActionEvent, scores: Scores) -> int:
        """Return the PTS that a clip ends at. `event`: the action's end; `scores`: of the clip that decided it.

        With a merge gap, the clip that decided is later than the end.
        """
        decided_after_ns = _wall_ns(event.window.to) - _wall_ns(str(event.ended_at))  # on the action's own time line
        return scores.to_ns - max(0, decided_after_ns) + self.post_roll_ns + self._shift_ns(scores)

    def _shift_ns(self, scores: Scores) -> int:
        return scores.received_ns - scores.to_ns if self.main_stream else 0


def _needed_s(centre: int, zone: RecordedZone, record: RecordConfig) -> float:
    """Return the seconds from the centre of a clip, or from the start of a pre-roll, until its event."""
    spec = zone.spec
    needed_s = (spec.ticks - centre) / spec.frame_rate
    if record.clip:
        rise_s = max(spec.span / spec.frame_rate, zone.min_length_s + zone.hop * spec.segment_s)
        needed_s = max(needed_s, record.pre_roll_s + rise_s)
    return needed_s


def _start_ns(event: ActionEvent, scores: Scores) -> int:
    """Return the PTS of an action's start."""
    return min(scores.to_ns - (scores.wall_ns - _wall_ns(event.started_at)), scores.to_ns)


def _wall_ns(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000) * NS_PER_MS
