"""One zone in a replay, or the whole picture of a camera without zones: its window, its lane, its decisions."""

from collections.abc import Iterator
from typing import NamedTuple

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.actions.labels import for_model
from edge_tdn.config.resolved_zones import ResolvedZone
from edge_tdn.inference.backlog import Item
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.turn import compute
from edge_tdn.manifest import Model
from edge_tdn.media.outline import Outline
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, Frame, Scores, Segment
from edge_tdn.replay.plot import ScoredClip, ZoneScores
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window


class ReplayNetwork(NamedTuple):
    """A model, and the runtime that computes it."""

    model: Model
    runtime: Runtime


class ReplayZone:
    """The stages behind the camera, without threads; the `ClipSink` of its lane."""

    def __init__(
        self, zone: ResolvedZone, network: ReplayNetwork, max_gap_s: float, origin: Origin, numbers: EventNumbers
    ) -> None:
        """`numbers`: of the camera's events."""
        model = network.model
        spec = model.manifest.input
        self.zone, self.model = zone, model
        self.outline = Outline.of(zone)
        self.too_small = ""  # why some frames could not be analysed; empty: all could
        gate = MotionGate() if zone.motion_gate else None
        self._window = Window(spec, max_gap_s, gate=gate, follow=zone.follow)
        self._lane = Lane(Engine(network.runtime, spec), zone.hop, self)
        decide = for_model(zone.decide, model.labels, model.manifest.background)
        self._decider = Decider(decide, origin, model.labels, model.manifest.background, numbers)
        self._new_events: list[ActionEvent] = []  # since the last item
        self._clips: list[ScoredClip] = []
        self.scores = ZoneScores(zone.name, self._clips, self._decider.thresholds)

    @property
    def line_prefix(self) -> str:
        """The beginning of a printed line about it: `zone gate: `; empty for a whole picture."""
        return f"{self.zone.display_name}: " if self.zone.display_name else ""

    @property
    def why_no_clip(self) -> str:
        """The reason why the recording has no clip of this zone, or lacks some; empty: it lacks none."""
        if self.too_small or self._clips:
            return self.too_small
        needed_s = self.model.manifest.input.needed_s()
        return f"no clip: the recording has no unbroken {needed_s:.1f} s, which a clip of this model needs"

    def push(self, frame: Frame) -> Iterator[ActionEvent]:
        """Yield the events that a frame causes; it shows this zone only."""
        runs = self._window.runs
        segments: list[Segment] = self._window.push(frame)
        if 0 < runs < self._window.runs:  # the window was emptied by a gap or a new picture size
            yield from self.compute("stream_lost")
        for segment in segments:
            yield from self.compute(segment)

    def compute(self, item: Item) -> list[ActionEvent]:
        """Return the events that a segment, or a break, causes."""
        compute([(self._lane, [item])])
        events, self._new_events = self._new_events, []
        return events

    def scored(self, scores: Scores) -> None:
        """Decide on a clip, and keep its scores."""
        self._new_events += self._decider.push(scores)
        self._clips.append(ScoredClip(scores.to_ns / NS_PER_S, self._decider.scores))

    def broken(self, reason: EndReason) -> None:
        """End the actions at a break in the recording."""
        self._new_events += self._decider.break_off(reason)
        if self._clips:
            self._clips.append(ScoredClip(self._clips[-1].seconds, {}))
