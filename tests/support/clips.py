"""Clips of a model that was never run: probabilities in, scores out, one every hop of a stream."""

from collections.abc import Iterable, Sequence

import numpy as np

from edge_tdn.actions.labels import rules
from edge_tdn.config.tables import DecideConfig
from edge_tdn.config.zone_tables import WHOLE
from edge_tdn.hub.host_access import ZonePlace
from edge_tdn.hub.kept_scores import KeptClips, KeptScores
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S, EndReason, Scores
from edge_tdn.status_messages import CameraThresholds, Thresholds
from tests.support.actions import MODEL, WALL_NS
from tests.support.decisions import LABELS, prompt_config
from tests.support.fakes import SPEC

Thresholded = tuple[float, float]


def clip_at(number: int, logits: Sequence[float], spec: InputSpec = SPEC) -> Scores:
    """Return the scores of a clip that ends `number` segments after the start of a stream."""
    to_ns = round(number * spec.segment_s * NS_PER_S)
    return Scores(
        logits=np.array(logits, np.float32),
        from_ns=to_ns - round((spec.ticks - 1) * NS_PER_S / spec.frame_rate),
        newest_ns=to_ns - round((spec.span - 1) * NS_PER_S / spec.frame_rate),
        to_ns=to_ns,
        wall_ns=WALL_NS + to_ns,
        frames=5 * spec.segments,
        dropped=0,
        received_ns=to_ns,
        ready_ns=to_ns,
        taken_ns=to_ns,
        scored_ns=to_ns,
    )


def sure_of(shares: Sequence[float]) -> list[float]:
    """Return logits for probabilities."""
    return list(np.log(np.array(shares) + 1e-6))


def keep_all(
    rows: Iterable[Scores | EndReason], labels: Sequence[str] = LABELS, max_rows: int = 1000, spec: InputSpec = SPEC
) -> KeptClips:
    """Return what is kept of clips and breaks."""
    return kept_scores(rows, labels, max_rows, spec).read()


def kept_scores(
    rows: Iterable[Scores | EndReason], labels: Sequence[str] = LABELS, max_rows: int = 1000, spec: InputSpec = SPEC
) -> KeptScores:
    """Return where clips and breaks are kept."""
    kept = KeptScores(labels, spec, max_rows)
    for row in rows:
        if isinstance(row, str):
            kept.broken(row)
        else:
            kept.scored(row)
    return kept


def place_with(
    decide: DecideConfig | None = None,
    thresholds: Thresholded | None = None,
    actions: dict[str, Thresholded] | None = None,
    labels: Sequence[str] = LABELS,
    background: Sequence[str] = ("still",),
) -> ZonePlace:
    """Return a camera's whole picture with these limits. `thresholds`: as commanded; by default those of `decide`."""
    limits = decide or prompt_config()
    enter, leave = thresholds or (limits.enter_threshold, limits.exit_threshold)
    own = {name: Thresholds(enter=pair[0], exit=pair[1]) for name, pair in (actions or {}).items()}
    return ZonePlace(
        name=None,
        region=WHOLE,
        polygon=(),
        labels=tuple(labels),
        background=tuple(background),
        actions=tuple(rules(limits, labels, background)),
        decide=limits,
        thresholds=CameraThresholds(enter=enter, exit=leave, actions=own),
        model=MODEL,
        spec=SPEC,
        hop=1,
        action=None,
    )
