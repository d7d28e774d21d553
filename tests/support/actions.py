"""Numbered frames, and what the stages make of them: a runtime that reads the numbers, clips, and events."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.media.colour import Packed
from edge_tdn.messages import CENTRE, NS_PER_S, ActionEvent, EventWindow, Frame, ModelRef, Scores, iso
from tests.conftest import _numbered, number_in
from tests.support.fakes import FakeRuntime

WALL_NS = 1_772_366_400 * NS_PER_S  # 2026-03-01T12:00:00Z
MODEL = ModelRef(id="m", precision="fp32", sha256="0" * 64)


class NumberReader(FakeRuntime):
    """Reads the number of every segment's centre frame; label 3 scores ever higher within `action`, else label 0."""

    def __init__(self, segments: int, action: range) -> None:
        super().__init__(segments)
        self.action = action
        self.clips: list[list[int]] = []  # the numbers of each clip

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        for frames, ring in zip(segments, rings, strict=True):
            ring.arrays["h"][ring.slot] = number_in(frames[CENTRE])
            ring.written()

    def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
        self.clips += [[round(float(n)) for n in ring.window("h")[:, 0]] for ring in rings]
        logits = np.zeros((len(rings), 8), np.float32)
        for row, clip in zip(logits, self.clips[-len(rings) :], strict=True):
            inside = clip[-1] in self.action
            row[3 if inside else 0] = 3.0 + 0.1 * (clip[-1] - self.action.start) * inside
        return logits


def numbered_frame(number: int, pts_s: float, stream: int = 1, size: tuple[int, int] = (120, 160)) -> Frame:
    """Return a frame that shows its number."""
    pts_ns = round(pts_s * NS_PER_S)
    return Frame(Packed(_numbered(number, *size)), pts_ns, time.monotonic_ns(), WALL_NS + pts_ns, number, stream)


def clip_scores(at_s: float, clip_s: float = 1.0) -> Scores:
    """Return the scores of a clip that ends at `at_s` of the stream."""
    at_ns = round(at_s * NS_PER_S)
    return Scores(
        np.zeros(8, np.float32), at_ns - round(clip_s * NS_PER_S), at_ns, at_ns, WALL_NS + at_ns, 40, 0, 0, 0, 0, 0
    )


def action_event(number: int, kind: str, at_s: float, began_s: float | None = None, label: str = "left") -> ActionEvent:
    """Return an event whose clip ends at `at_s` of the stream; the action began at `began_s`."""
    wall_ns = WALL_NS + round(at_s * NS_PER_S)
    began_ns = WALL_NS + round((at_s if began_s is None else began_s) * NS_PER_S)
    return ActionEvent.model_validate(
        {
            "id": f"here/door/b007/{number}",
            "seq": number,
            "type": kind,
            "host": "here",
            "camera": "door",
            "label": label,
            "label_index": 1,
            "score": 0.9,
            "peak_score": 0.9,
            "started_at": iso(began_ns),
            "ended_at": iso(wall_ns) if kind == "end" else None,
            "model": MODEL,
            "window": EventWindow(from_=iso(wall_ns), to=iso(wall_ns), frames=40, dropped=0),
        }
    )
